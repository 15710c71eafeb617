# METADATA
# title: Limits
# description: |
#   Comparisons of numbers with numbers only. Rego orders values of unlike types
#   (null before numbers, numbers before texts), so null is below every limit.
package interlock.lib.limits

# METADATA
# title: The amount is within the limit
# description: Both are numbers, none is negative.
within(amount, limit) if {
	is_number(amount)
	is_number(limit)
	amount >= 0
	amount <= limit
}

# METADATA
# title: The value lies between two bounds, both included
between(value, low, high) if {
	is_number(value)
	is_number(low)
	is_number(high)
	low <= value
	value <= high
}
