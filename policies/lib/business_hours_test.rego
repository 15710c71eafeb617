package interlock.lib.business_hours_test

import data.interlock.lib.business_hours

week := ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]

berlin := {"zone": "Europe/Berlin", "days": week, "from": "09:00", "to": "17:00", "holidays": ["2026-12-25"]}

at(moment) := time.parse_rfc3339_ns(moment)

test_open[moment] if {
	some moment in [
		"2026-03-02T08:00:00Z", # Monday, 09:00
		"2026-03-06T15:59:59Z", # Friday, 16:59:59
		"2026-06-30T07:00:00Z", # Tuesday, 09:00 in summer
	]
	business_hours.open(at(moment), berlin)
}

test_closed[moment] if {
	some moment in [
		"2026-03-02T07:59:59Z", # 08:59:59
		"2026-03-02T16:00:00Z", # 17:00
		"2026-02-28T10:00:00Z", # Saturday
		"2026-03-01T10:00:00Z", # Sunday
		"2026-12-25T10:00:00Z", # a holiday, Friday
	]
	not business_hours.open(at(moment), berlin)
}

# The clocks go forward on 29 March 2026: the same moment in UTC is an hour later there.
test_summer_time if {
	not business_hours.open(at("2026-03-27T07:30:00Z"), berlin)
	business_hours.open(at("2026-03-30T07:30:00Z"), berlin)
}

# The hour 02:30 comes twice on 25 October 2026 and never on 29 March.
test_the_night_of_the_change if {
	night := {"zone": "Europe/Berlin", "days": ["Sunday"], "from": "02:00", "to": "03:00"}
	business_hours.open(at("2026-10-25T00:30:00Z"), night)
	business_hours.open(at("2026-10-25T01:30:00Z"), night)
	not business_hours.open(at("2026-03-29T00:59:59Z"), night)
	not business_hours.open(at("2026-03-29T01:00:00Z"), night)
}

test_the_day_is_that_of_the_zone if {
	sydney := object.union(berlin, {"zone": "Australia/Sydney"})
	business_hours.open(at("2026-03-01T23:00:00Z"), sydney) # Sunday in UTC, Monday 10:00 there
	not business_hours.open(at("2026-03-06T23:00:00Z"), sydney) # Friday in UTC, Saturday there
}

test_round_the_clock if {
	always := {"zone": "UTC", "days": ["Monday"], "from": "00:00", "to": "24:00"}
	business_hours.open(at("2026-03-02T00:00:00Z"), always)
	business_hours.open(at("2026-03-02T23:59:59Z"), always)
}

test_unreadable[name] if {
	some name, wrong in {
		"no zone": {"zone": null},
		"empty zone": {"zone": ""},
		"the server's zone": {"zone": "Local"},
		"unknown zone": {"zone": "Europe/Atlantis"},
		"misspelt day": {"days": ["Monday", "Thrusday"]},
		"days as numbers": {"days": [1, 2, 3]},
		"days as text": {"days": "Monday"},
		"no days": {"days": []},
		"hour as number": {"from": 9},
		"hour of one digit": {"from": "9:00"},
		"hour that isn't": {"to": "25:00"},
		"holiday of another form": {"holidays": ["25.12.2026"]},
		"holidays null": {"holidays": null},
	}
	not business_hours.open(at("2026-03-02T10:00:00Z"), object.union(berlin, wrong))
}

test_no_moment[kind] if {
	some kind, ns in {"null": null, "text": "2026-03-02T10:00:00Z"}
	not business_hours.open(ns, berlin)
}

test_no_schedule if not business_hours.open(at("2026-03-02T10:00:00Z"), {})

# The flaw: the weekday of the hour is that of a few nanoseconds after 1970, always Thursday.
weekday_of_the_hour if {
	[hour, _, _] := time.clock(input.ns)
	time.weekday(hour) in {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday"}
}

test_always_thursday if {
	sunday := at("2026-03-01T10:00:00Z")
	weekday_of_the_hour with input as {"ns": sunday}
	not business_hours.open(sunday, berlin)
}

# The flaw: the weekday is a text, and every text is greater than every number.
weekday_as_number if time.weekday(input.ns) >= 1

test_weekday_as_number if {
	sunday := at("2026-03-01T10:00:00Z")
	weekday_as_number with input as {"ns": sunday}
	not business_hours.open(sunday, berlin)
}
