package docker

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/moby/moby/client"

	"nitrox/sources/httpapi"
)

// What is wanted of a list is asked for by filters where that costs less than the
// whole, whose size nobody knows before: each request costs a round trip, and each
// value a look-up of the daemon's own.
const (
	maxFiltered = 16
	maxValues   = 256
	// maxURL is how many bytes of a URL the values of a filter may take. Proxies
	// allow eight kilobytes, and some less.
	maxURL = 4 << 10
)

// filtered are the requests for what has one of the values, as filters; false: all
// of the list costs less. Of several labels Docker wants each, and not one.
func filtered(term string, values []string) (requests []client.Filters, few bool) {
	left := 0
	for _, value := range values {
		size := len(url.QueryEscape(strconv.Quote(value) + ":true,"))
		if left < size || term == "label" {
			requests, left = append(requests, make(client.Filters)), maxURL
		}
		requests[len(requests)-1].Add(term, value)
		left -= size
	}
	return requests, len(requests) <= maxFiltered && len(values) <= maxValues
}

// errUnfiltered is an error about a list that a filter was lost for on the way.
var errUnfiltered = errors.New("the answer has more than was asked for")

// refused says whether a request by filter is answered no: it names a service that
// is not there, or what answers does not know the filter.
func refused(err error) bool {
	return errors.Is(err, errUnfiltered) || httpapi.HasCode(err, http.StatusNotFound) || httpapi.HasCode(err, http.StatusBadRequest)
}
