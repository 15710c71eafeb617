package prove

// Claims is all that is proved: the key that a proof records under, and what it
// says, with the unit of what is tried. One line a claim, sorted by key.
var Claims = map[string]string{}
