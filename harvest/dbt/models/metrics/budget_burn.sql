{%- set spent_that_day = 'case when budgeted.is_known then daily.spent_that_day end' -%}
with projects as (
  select
    projects._account_id,
    projects.project_id,
    projects.project_name,
    projects.client_id,
    projects.client_name,
    projects.is_archived,
    projects.budget_by,
    projects.budget_is_monthly,
    projects.cost_budget_include_expenses,
    projects.created_on,
    projects.currency,
    projects.budget_by in ('project_cost', 'task_fees') as is_money,
    case projects.budget_by
      when 'project' then projects.budget
      when 'project_cost' then projects.cost_budget
      else assigned.budget
    end as budget
  from {{ ref('stg_harvest__projects') }} as projects
  left join {{ ref('stg_harvest__assignment_budgets') }} as assigned
    on projects._account_id = assigned._account_id
    and projects.project_id = assigned.project_id
    and assigned.budget_of = case projects.budget_by
      when 'person' then 'person'
      when 'task' then 'task'
      when 'task_fees' then 'task'
    end
  where projects.budget_by <> 'none'
),

budgeted as (
  select
    projects.*,
    accounts.whole_from,
    accounts.today,
    {{ harvest.was_read('time_entries', 'projects._account_id') }}
      and (
        projects.budget_by <> 'project_cost'
        or not projects.cost_budget_include_expenses
        or {{ harvest.was_read('expenses', 'projects._account_id') }}
      ) as is_known
  from projects
  inner join {{ ref('accounts') }} as accounts
    on projects._account_id = accounts._account_id
  where projects.budget > 0
),

spending as (
  select
    entries._account_id,
    entries.project_id,
    entries.spent_date as day,
    case
      when budgeted.is_money then coalesce(entries.billable_amount, 0)
      else entries.rounded_hours
    end as spent
  from {{ ref('stg_harvest__time_entries') }} as entries
  inner join budgeted
    on entries._account_id = budgeted._account_id
    and entries.project_id = budgeted.project_id
    and entries.spent_date <= budgeted.today
  where entries.is_budgeted
  union all
  select
    expenses._account_id,
    expenses.project_id,
    expenses.spent_date as day,
    expenses.amount as spent
  from {{ ref('stg_harvest__expenses') }} as expenses
  inner join budgeted
    on expenses._account_id = budgeted._account_id
    and expenses.project_id = budgeted.project_id
    and expenses.spent_date <= budgeted.today
  where budgeted.budget_by = 'project_cost' and budgeted.cost_budget_include_expenses
  union all
  -- Of a project at work, how it stands today.
  select
    _account_id,
    project_id,
    today as day,
    0 as spent
  from budgeted
  where not is_archived
),

daily as (
  select
    _account_id,
    project_id,
    day,
    {{ harvest.month_of('day') }} as month,
    {{ dbt.datediff("cast('1900-01-01' as date)", 'day', 'day') }} as day_number,
    {{ harvest.decimal('sum(spent)') }} as spent_that_day
  from spending
  group by _account_id, project_id, day
),

burned as (
  select
    budgeted.*,
    daily.day,
    daily.month,
    {{ harvest.decimal(spent_that_day) }} as spent_that_day,
    {{ harvest.decimal(
      'sum(' ~ spent_that_day ~ ') over (partition by daily._account_id, daily.project_id, '
      ~ 'case when budgeted.budget_is_monthly then daily.month end order by daily.day '
      ~ 'rows between unbounded preceding and current row)'
    ) }} as spent,
    {{ harvest.decimal(
      'sum(' ~ spent_that_day ~ ') over (partition by daily._account_id, daily.project_id '
      ~ 'order by daily.day_number range between ' ~ (var('forecast_days') - 1)
      ~ ' preceding and current row)'
    ) }} as spent_lately,
    daily.day_number + 1 - min(case when daily.spent_that_day <> 0 then daily.day_number end) over (
      partition by daily._account_id, daily.project_id
    ) as days_since_first
  from daily
  inner join budgeted
    on daily._account_id = budgeted._account_id
    and daily.project_id = budgeted.project_id
),

-- A project that began a week ago has the pace of that week.
paced as (
  select
    *,
    least({{ var('forecast_days') }}, days_since_first) as pace_days
  from burned
),

forecast as (
  select
    *,
    -- Whole days that the rest lasts at the pace of late, if that is less than ten years.
    case
      when
        spent_lately > 0 and spent < budget
        and (budget - spent) * pace_days < spent_lately * 3650
        then cast(ceiling(
          {{ harvest.divide('(budget - spent) * pace_days', 'spent_lately', 6) }}
        ) as integer)
    end as days_left
  from paced
)

select
  _account_id,
  day,
  client_id,
  client_name,
  project_id,
  project_name,
  is_archived,
  budget_by,
  budget_is_monthly,
  {{ harvest.decimal('budget') }} as budget,
  case when is_money then currency else 'hours' end as unit,
  case when is_money then currency end as currency,
  spent_that_day,
  spent,
  {{ harvest.decimal('budget - spent') }} as remaining,
  {{ harvest.divide('spent', 'budget') }} as share,
  spent_lately,
  case
    when not budget_is_monthly then {{ harvest.add_days('day', 'days_left') }}
    when
      {{ harvest.month_of(harvest.add_days('day', 'days_left')) }} = month
      then {{ harvest.add_days('day', 'days_left') }}
  end as runs_out_on,
  -- A budget that is given once holds all since the project was made, a monthly one the month only.
  is_known and case
    when budget_is_monthly then month >= whole_from
    else created_on >= whole_from
  end as is_whole
from forecast
