package policies

func (c *compilation) shapes(list []*module)     {}
func (c *compilation) references(list []*module) {}
func (c *compilation) lint()                     {}
func (c *compilation) unused(own []*module)      {}
