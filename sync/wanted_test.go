package sync_test

import (
	"nitrox/sources"
	"nitrox/sync"
)

// wanted is that the endpoints are the whole truth.
func wanted(es ...sources.Endpoint) sync.Desired {
	return sync.Union([]sync.From{{}}, []sources.Answer{known(es)}, sync.Policy{})
}

// inDoubt is that they may not be.
func inDoubt(doubt error, es ...sources.Endpoint) sync.Desired {
	return sync.Union([]sync.From{{}}, []sources.Answer{sources.NewAnswer(es, nil, doubt)}, sync.Policy{})
}
