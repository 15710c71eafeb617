package fsm

// analyse gathers what is legal but hardly meant.
func (c *compiler) analyse(m *Machine) {
}
