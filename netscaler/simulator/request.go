package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// request is a NITRO request, taken apart.
type request struct {
	method string
	stat   bool
	typ    string
	query  *query
	body   []byte
	// payload holds the objects of the body, in order; array says whether they
	// were an array, which makes it a bulk request.
	payload []payload
	session string // "sessionid" in the body, as before release 10
}

type payload struct {
	typ   string
	items []item
	array bool
}

type query struct {
	name                               string
	named                              bool
	action, onerror                    string
	args                               map[string]string
	attrs                              map[string]bool
	filter                             []term
	page, pageSize                     int
	count, bulk, idempotent            bool
	warning, skipInvalid, statBindings bool
	literal                            bool // separators are never encoded
}

// parseTarget reads path and query. Names in the path are encoded twice by
// every official client; plain names once is as good.
func (s *Simulator) parseTarget(u *url.URL) (*request, *failure) {
	var parts []string
	for part := range strings.SplitSeq(u.EscapedPath(), "/") {
		if part != "" {
			parts = append(parts, part)
		}
	}
	// nitro / v1 / config|stat / type / name
	r := &request{stat: parts[2] == "stat", typ: strings.ToLower(parts[3]), query: &query{page: 1, literal: s.lacks("encoded separators")}}
	if len(parts) > 5 {
		return r, fail(codeObjectName, strings.Join(parts[3:], "/"))
	}
	if len(parts) == 5 {
		r.query.named, r.query.name = true, decodeName(parts[4])
	}
	return r, r.query.parse(u.RawQuery)
}

func decodeName(s string) string {
	once, err := url.PathUnescape(s)
	if err != nil {
		return s
	}
	twice, err := url.QueryUnescape(once)
	if err != nil {
		return once
	}
	return twice
}

// parse does not use url.ParseQuery, which refuses the ";" that NITRO's own
// pages print between parameters.
func (q *query) parse(raw string) *failure {
	for pair := range strings.FieldsFuncSeq(raw, func(r rune) bool { return r == '&' || r == ';' }) {
		key, value, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(value)
		if err != nil {
			return fail(codeInvalidValue, key, value)
		}
		yes := strings.EqualFold(plain, "yes") || strings.EqualFold(plain, "true")
		switch strings.ToLower(key) {
		case "action":
			q.action = strings.ToLower(plain)
		case "onerror":
			q.onerror = plain
		case "args":
			q.args = map[string]string{}
			f := q.eachPair(value, func(k, v string) *failure {
				if _, twice := q.args[k]; twice {
					return fail(codeInvalidArgument, k)
				}
				q.args[k] = v
				return nil
			})
			if f != nil {
				return f
			}
		case "filter":
			f := q.eachPair(value, func(k, v string) *failure {
				t, f := newTerm(k, v)
				q.filter = append(q.filter, t)
				return f
			})
			if f != nil {
				return f
			}
		case "attrs":
			q.attrs = map[string]bool{}
			for name := range strings.SplitSeq(plain, ",") {
				q.attrs[strings.ToLower(name)] = true
			}
		case "pagesize", "pageno":
			n, err := strconv.Atoi(plain)
			if err != nil || n < 1 {
				return fail(codeInvalidValue, key, plain)
			}
			if strings.EqualFold(key, "pageno") {
				q.page = n
			} else {
				q.pageSize = n
			}
		case "count":
			q.count = yes
		case "bulkbindings":
			q.bulk = yes
		case "idempotent":
			q.idempotent = yes
		case "warning":
			q.warning = yes
		case "skipinvalidarg":
			q.skipInvalid = yes
		case "statbindings":
			q.statBindings = yes
		case "view", "override":
		default:
			return fail(codeNoArgument, key)
		}
	}
	return nil
}

// eachPair takes "a:1,b:2" apart. Only the first colon separates, so that a raw
// IPv6 address is a value. Where a separator is literal only literal ones separate;
// some releases of the official Go client encode all of them.
func (q *query) eachPair(raw string, visit func(k, v string) *failure) *failure {
	if plain, err := url.QueryUnescape(raw); err == nil && !q.literal && !strings.Contains(raw, ":") {
		raw = plain
	}
	for part := range strings.SplitSeq(raw, ",") {
		k, v, ok := strings.Cut(part, ":")
		v, err := url.QueryUnescape(v)
		if !ok || k == "" {
			return fail(codeNoArgument, part)
		}
		if err != nil {
			return fail(codeInvalidValue, k, v)
		}
		if f := visit(strings.ToLower(k), v); f != nil {
			return f
		}
	}
	return nil
}

// vendorMedia begins the media types of the SDKs, which go on with the type.
const vendorMedia = "application/vnd.com.citrix.netscaler."

func mediaType(h http.Header) string {
	media, _, _ := strings.Cut(strings.ToLower(h.Get("Content-Type")), ";")
	return strings.TrimSpace(media)
}

// parseBody reads {"type": {…} or […]}, beside which "params" and "sessionid"
// may stand.
func (r *request) parseBody(h http.Header) *failure {
	body, media := r.body, mediaType(h)
	switch {
	case media == "application/x-www-form-urlencoded" && !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")):
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return fail(codeJSONInput)
		}
		body = []byte(form.Get("object"))
	case strings.HasPrefix(media, vendorMedia):
		typ := strings.TrimSuffix(strings.TrimPrefix(media, vendorMedia), "+json")
		if typ != r.typ && typ != r.typ+"_list" {
			return fail(codeObjectName, typ)
		}
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return fail(codeJSONInput)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return fail(codeJSONInput)
		}
		var value any
		if err := dec.Decode(&value); err != nil {
			return fail(codeJSONInput)
		}
		if f := r.member(strings.ToLower(key.(string)), value); f != nil {
			return f
		}
	}
	if _, err := dec.Token(); err != nil {
		return fail(codeJSONInput)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fail(codeJSONInput)
	}
	return nil
}

// member takes one member of the body's object.
func (r *request) member(key string, value any) *failure {
	switch key {
	case "sessionid":
		id, ok := value.(string)
		if !ok {
			return fail(codeJSONType, key)
		}
		r.session = id
		return nil
	case "params":
		params, ok := value.(map[string]any)
		if !ok {
			return fail(codeJSONType, key)
		}
		for k, v := range params {
			if f := r.query.parse(url.QueryEscape(k) + "=" + url.QueryEscape(fmt.Sprint(v))); f != nil {
				return f
			}
		}
		return nil
	}
	p := payload{typ: key}
	switch v := value.(type) {
	case map[string]any:
		it, f := newItem(v)
		if f != nil {
			return f
		}
		p.items = []item{it}
	case []any:
		p.array = true
		for _, element := range v {
			object, ok := element.(map[string]any)
			if !ok {
				return fail(codeJSONType, key)
			}
			it, f := newItem(object)
			if f != nil {
				return f
			}
			p.items = append(p.items, it)
		}
	default:
		return fail(codeJSONType, key)
	}
	r.payload = append(r.payload, p)
	return nil
}

// newItem flattens an object: names in lower case, values as text.
func newItem(object map[string]any) (item, *failure) {
	it := item{values: make(map[string]string, len(object))}
	for key, value := range object {
		key := strings.ToLower(key)
		if it.has(key) {
			return it, fail(codeJSONInput)
		}
		switch v := value.(type) {
		case string:
			it.values[key] = v
		case json.Number:
			it.values[key] = number(v)
		case bool:
			it.values[key] = strconv.FormatBool(v)
		case []any:
			if f := it.list(key, v); f != nil {
				return it, f
			}
		default:
			return it, fail(codeJSONType, key)
		}
	}
	return it, nil
}

// number is 180 for 180.0 too, as the official Ansible collection sends it.
func number(n json.Number) string {
	if f, err := n.Float64(); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return strconv.FormatInt(int64(f), 10)
	}
	return n.String()
}

// list takes an array over: the members of a desired state, or words, which an
// attribute holds with blanks between them as the command line has them.
func (it *item) list(key string, elements []any) *failure {
	if key == "members" {
		it.members = []item{}
	}
	var words []string
	for _, element := range elements {
		switch v := element.(type) {
		case map[string]any:
			m, f := newItem(v)
			switch {
			case f != nil:
				return f
			case key != "members" || m.members != nil:
				return fail(codeJSONType, key)
			}
			it.members = append(it.members, m)
			continue
		case string:
			words = append(words, v)
		case json.Number:
			words = append(words, number(v))
		default:
			return fail(codeJSONType, key)
		}
		if key == "members" || strings.ContainsAny(words[len(words)-1], " \t") {
			return fail(codeJSONType, key)
		}
	}
	if key != "members" {
		it.lists = append(it.lists, key)
	}
	if len(words) > 0 {
		it.values[key] = strings.Join(words, " ")
	}
	return nil
}
