package kubernetes

const (
	// perRequest is how many objects of a list cost about as much as a request.
	perRequest = 10
	// perMatch is of how many objects an API server finds out whether a selector
	// chooses them at the cost of sending one.
	perMatch = 100
)

// way is how to read some objects of many.
type way int

const (
	byList  way = iota // one of all
	byLabel            // of those whose labels have the names
	byName             // one for each name
)

// cheapest is the way to read some of so many objects, where selectors is how many
// lists by label that would be; 0: their labels do not tell. Others may not be found
// by them, which then costs more requests.
func cheapest(some, of, selectors int) way {
	best, least := byList, of+perRequest*((of+pageSize-1)/pageSize)
	if cost := some + (selectors+2)*perRequest + selectors*of/perMatch; selectors > 0 && cost < least {
		best, least = byLabel, cost
	}
	if cost := some * (1 + perRequest); cost <= least {
		best = byName
	}
	return best
}

// firstPage is how many objects to ask for where some are wanted of nobody knows
// how many. There are at least as many as are wanted, and if there are not many
// more, the page has them all: enough is how many are read without regret.
func firstPage(some, enough int) int { return min(pageSize, max(some, enough)) }
