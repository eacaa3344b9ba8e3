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
    {{ harvest.was_read('time_entries', 'projects._account_id') }} as has_entries,
    {{ harvest.was_read('expenses', 'projects._account_id') }} as has_expenses,
    {{ harvest.was_read('invoices', 'projects._account_id') }} as has_invoices,
    case
      when not {{ harvest.was_read('invoices', 'projects._account_id') }} then null
      when invoiced.amount > coalesce(projects.fee, 0) then invoiced.amount
      else projects.fee
    end as total,
    case
      when {{ harvest.was_read('invoices', 'projects._account_id') }}
        then coalesce(invoiced.amount, 0)
    end as invoiced,
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
),

figures as (
  select
    projects.*,
    months.month,
    case when projects.has_entries then coalesce(work.hours, 0) end as hours,
    case when projects.has_entries then coalesce(work.cost, 0) end as cost,
    case
      when projects.has_entries then coalesce(work.hours_without_cost_rate, 0)
    end as hours_without_cost_rate,
    case when projects.has_expenses then coalesce(work.expenses, 0) end as expenses,
    -- `0 * total`: a month of work outside of the term earns 0, and null where there is no fee.
    case when projects.total_days > 0 then coalesce(earned.revenue, 0 * projects.total) end
      as revenue
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
)

select
  _account_id,
  month,
  client_id,
  client_name,
  project_id,
  project_name,
  {{ harvest.decimal('hours') }} as hours,
  fee,
  {{ harvest.decimal('invoiced') }} as invoiced,
  {{ harvest.decimal('revenue') }} as revenue,
  {{ harvest.decimal('expenses') }} as expenses,
  currency,
  {{ harvest.decimal('cost') }} as cost,
  profit_currency as cost_currency,
  exchange_rate,
  {{ harvest.decimal('(revenue - expenses) * exchange_rate - cost') }} as profit,
  profit_currency,
  {{ harvest.decimal('hours_without_cost_rate') }} as hours_without_cost_rate,
  starts_on,
  ends_on,
  -- What was invoiced is all that ever was, so of an older project some of it may lack.
  month >= whole_from and created_on >= whole_from and has_entries and has_expenses
    and has_invoices as is_whole
from figures
