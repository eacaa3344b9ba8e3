with entries as (
  select
    entries._account_id,
    entries.user_id,
    entries.user_name,
    entries.spent_date,
    entries.hours,
    entries.is_billable
  from {{ ref('stg_harvest__time_entries') }} as entries
  inner join {{ ref('accounts') }} as accounts
    on entries._account_id = accounts._account_id and entries.spent_date <= accounts.today
),

tracked_days as (
  select
    _account_id,
    user_id,
    min(user_name) as user_name,
    min(spent_date) as first_entry,
    max(spent_date) as last_entry
  from entries
  group by _account_id, user_id
),

-- A token may see time entries of people whom it may not see themselves.
users as (
  select
    users._account_id,
    users.user_id,
    users.user_name,
    users.is_contractor,
    users.is_archived,
    users.created_on,
    coalesce(users.weekly_capacity, accounts.weekly_capacity) as capacity
  from {{ ref('stg_harvest__users') }} as users
  inner join {{ ref('accounts') }} as accounts
    on users._account_id = accounts._account_id
  union all
  select
    tracked_days._account_id,
    tracked_days.user_id,
    tracked_days.user_name,
    cast(null as {{ dbt.type_boolean() }}) as is_contractor,
    cast(null as {{ dbt.type_boolean() }}) as is_archived,
    cast(null as date) as created_on,
    cast(null as {{ dbt.type_bigint() }}) as capacity
  from tracked_days
  left join {{ ref('stg_harvest__users') }} as known
    on tracked_days._account_id = known._account_id
    and tracked_days.user_id = known.user_id
  where known.user_id is null
),

present as (
  select
    users.*,
    accounts.first_week,
    accounts.history_from,
    accounts.whole_from,
    {{ harvest.was_read('time_entries', 'users._account_id') }} as has_entries,
    tracked_days.first_entry,
    case when not users.is_archived then accounts.today else tracked_days.last_entry end as last_day,
    -- A person who was there before the history that was read is looked at from its start on.
    case
      when users.created_on < accounts.history_from then accounts.history_from
      else users.created_on
    end as present_from
  from users
  inner join {{ ref('accounts') }} as accounts
    on users._account_id = accounts._account_id
  left join tracked_days
    on users._account_id = tracked_days._account_id
    and users.user_id = tracked_days.user_id
),

people as (
  select
    *,
    case
      when first_entry < present_from then first_entry
      else coalesce(present_from, first_entry)
    end as first_day
  from present
),

working_days as (
  select
    people._account_id,
    people.user_id,
    {{ harvest.week_of('days.day', 'people.first_week') }} as week_start,
    {{ harvest.whole(
      'sum(case when days.is_working_day and days.day >= people.first_entry then 1 else 0 end)'
    ) }} as working_days,
    {{ harvest.whole(
      'sum(case when days.is_working_day and (people.first_entry is null '
      ~ 'or days.day < people.first_entry) then 1 else 0 end)'
    ) }} as days_before_first_entry
  from people
  inner join {{ ref('int_harvest__days') }} as days
    on days.day between people.first_day and people.last_day
  group by 1, 2, 3
),

tracked as (
  select
    entries._account_id,
    entries.user_id,
    {{ harvest.week_of('entries.spent_date', 'accounts.first_week') }} as week_start,
    sum(entries.hours) as tracked_hours,
    sum(case when entries.is_billable then entries.hours else 0 end) as billable_hours
  from entries
  inner join {{ ref('accounts') }} as accounts
    on entries._account_id = accounts._account_id
  group by 1, 2, 3
)

-- One person in one week, from the day on that they are known to be there.
select
  people._account_id,
  people.user_id,
  people.user_name,
  people.is_contractor,
  people.is_archived,
  working_days.week_start,
  working_days.week_start >= people.whole_from and people.has_entries as is_whole,
  working_days.working_days,
  working_days.days_before_first_entry,
  {{ harvest.divide('people.capacity * working_days.working_days', '5 * 3600', 2) }}
    as capacity_hours,
  {{ harvest.divide('people.capacity * working_days.days_before_first_entry', '5 * 3600', 2) }}
    as capacity_hours_before_first_entry,
  {{ harvest.decimal(
    'case when people.has_entries then coalesce(tracked.tracked_hours, 0) end'
  ) }} as tracked_hours,
  {{ harvest.decimal(
    'case when people.has_entries then coalesce(tracked.billable_hours, 0) end'
  ) }} as billable_hours
from working_days
inner join people
  on working_days._account_id = people._account_id
  and working_days.user_id = people.user_id
left join tracked
  on working_days._account_id = tracked._account_id
  and working_days.user_id = tracked.user_id
  and working_days.week_start = tracked.week_start
