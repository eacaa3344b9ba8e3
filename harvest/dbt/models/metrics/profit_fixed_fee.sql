with invoiced as (
  select
    lines._account_id,
    lines.project_id,
    sum(lines.amount) as amount
  from {{ ref('stg_harvest__invoice_lines') }} as lines
  inner join {{ ref('stg_harvest__projects') }} as projects
    on lines._account_id = projects._account_id
    and lines.project_id = projects.project_id
    and lines.currency = projects.currency
  where lines.state <> 'draft'
  group by lines._account_id, lines.project_id
),

projects as (
  select
    projects.*,
    accounts.currency as profit_currency,
    accounts.whole_from,
    accounts.today,
    coalesce(invoiced.amount, 0) as invoiced,
    case
      when invoiced.amount > coalesce(projects.fee, 0) then invoiced.amount
      else projects.fee
    end as total,
    {{ dbt.datediff('projects.starts_on', 'projects.ends_on', 'day') }} + 1 as total_days,
    {{ harvest.exchange_rate('projects.currency', 'accounts.currency') }} as exchange_rate
  from {{ ref('stg_harvest__projects') }} as projects
  inner join {{ ref('accounts') }} as accounts
    on projects._account_id = accounts._account_id
  left join invoiced
    on projects._account_id = invoiced._account_id
    and projects.project_id = invoiced.project_id
  where projects.is_fixed_fee
),

fee_months as (
  select
    projects._account_id,
    projects.project_id,
    {{ harvest.month_of('days.day') }} as month,
    count(*) as days
  from projects
  inner join {{ ref('int_harvest__days') }} as days
    on days.day between projects.starts_on and projects.ends_on
    and days.day <= projects.today
  group by 1, 2, 3
),

-- Rounded to the cent from the start to the end of each month, so that all months add up to the fee.
spread as (
  select
    fee_months._account_id,
    fee_months.project_id,
    fee_months.month,
    {{ harvest.divide(
      'projects.total * sum(fee_months.days) over (' ~
      'partition by fee_months._account_id, fee_months.project_id order by fee_months.month)',
      'projects.total_days', 2
    ) }} as earned
  from fee_months
  inner join projects
    on fee_months._account_id = projects._account_id
    and fee_months.project_id = projects.project_id
),

earned as (
  select
    _account_id,
    project_id,
    month,
    earned - coalesce(
      lag(earned) over (partition by _account_id, project_id order by month), 0
    ) as revenue
  from spread
),

keys as (
  select _account_id, project_id, month from earned
  union all
  select _account_id, project_id, month from {{ ref('int_harvest__project_months') }}
),

months as (
  select distinct _account_id, project_id, month from keys
)

select
  months._account_id,
  months.month,
  projects.client_id,
  projects.client_name,
  months.project_id,
  projects.project_name,
  {{ harvest.decimal('coalesce(work.hours, 0)') }} as hours,
  projects.fee,
  {{ harvest.decimal('projects.invoiced') }} as invoiced,
  -- `0 * total`: a month of work outside of the term earns 0, and null where there is no fee at all.
  {{ harvest.decimal(
    'case when projects.total_days > 0 then coalesce(earned.revenue, 0 * projects.total) end'
  ) }} as revenue,
  {{ harvest.decimal('coalesce(work.expenses, 0)') }} as expenses,
  projects.currency,
  {{ harvest.decimal('coalesce(work.cost, 0)') }} as cost,
  projects.profit_currency as cost_currency,
  projects.exchange_rate,
  {{ harvest.decimal(
    '(case when projects.total_days > 0 then coalesce(earned.revenue, 0 * projects.total) end'
    ~ ' - coalesce(work.expenses, 0)) * projects.exchange_rate - coalesce(work.cost, 0)'
  ) }} as profit,
  projects.profit_currency,
  {{ harvest.decimal('coalesce(work.hours_without_cost_rate, 0)') }} as hours_without_cost_rate,
  projects.starts_on,
  projects.ends_on,
  -- What was invoiced is all that ever was, so of an older project some of it may lack.
  months.month >= projects.whole_from and projects.created_on >= projects.whole_from as is_whole
from months
inner join projects
  on months._account_id = projects._account_id
  and months.project_id = projects.project_id
left join earned
  on months._account_id = earned._account_id
  and months.project_id = earned.project_id
  and months.month = earned.month
left join {{ ref('int_harvest__project_months') }} as work
  on months._account_id = work._account_id
  and months.project_id = work.project_id
  and months.month = work.month
