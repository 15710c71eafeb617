# METADATA
# title: Business hours
# description: |
#   A schedule is {"zone": "Europe/Berlin", "days": ["Monday", …], "from": "09:00",
#   "to": "17:30", "holidays": ["2026-12-25", …]}: local time in an IANA time zone,
#   from included, to excluded, "24:00" is midnight; holidays may be left out. A
#   schedule that can't be read is never open. Nights across midnight take two schedules.
package interlock.lib.business_hours

# METADATA
# title: It is within business hours
# description: ns is the moment in nanoseconds since 1970, as in input.now.ns.
open(ns, schedule) if {
	is_number(ns)
	_zone(schedule.zone)
	time.weekday([ns, schedule.zone]) in _days(schedule.days)
	not _date(ns, schedule.zone) in _holidays(schedule)
	minute := _minute_of_day(ns, schedule.zone)
	_minutes(schedule.from) <= minute
	minute < _minutes(schedule.to)
}

# Without a zone the built-ins mean UTC, and "Local" is whatever the server has.
_zone(zone) if {
	is_string(zone)
	not zone in {"", "Local"}
}

# A day that isn't one makes the list unreadable: it would be closed for ever and nobody told.
_days(days) := {day | some day in days} if {
	is_array(days)
	count(days) > 0
	every day in days {
		day in {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
	}
}

_holidays(schedule) := [] if not "holidays" in object.keys(schedule)

_holidays(schedule) := schedule.holidays if {
	is_array(schedule.holidays)
	every day in schedule.holidays { regex.match(`^\d{4}-\d{2}-\d{2}$`, day) }
}

_date(ns, zone) := sprintf("%04d-%02d-%02d", time.date([ns, zone]))

_minute_of_day(ns, zone) := (60 * hour) + minute if [hour, minute, _] := time.clock([ns, zone])

_minutes(clock) := (60 * to_number(hour)) + to_number(minute) if {
	regex.match(`^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$`, clock)
	[hour, minute] := split(clock, ":")
}
