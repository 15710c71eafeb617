package interlock.lib.four_eyes
