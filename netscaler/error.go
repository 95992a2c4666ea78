package netscaler

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"nitrox/sources/redact"
)

// ErrLogin is wrapped by the error of every call after the appliance has
// refused the username or password. The client does not try again before the
// password changes or 10 minutes have passed, so as not to lock the user out.
var ErrLogin = errors.New("log-in refused")

// ErrUnavailable is wrapped by the error of a call that the appliance could
// not take: it cannot be reached, stays busy, or is a node that must not be written. More
// calls in this pass would fare no better.
var ErrUnavailable = errors.New("not available")

// ErrReadOnly is wrapped by the error of a request that a read-only client was
// asked for. It was not sent.
var ErrReadOnly = errors.New("not sent: this client only reads")

// Error is what the appliance answered instead of doing what it was asked.
type Error struct {
	Status int // the HTTP status
	// Code is the errorcode of NITRO; 0 if the answer was no NITRO answer.
	Code int
	// Message is the appliance's, fit to print: one line, without control
	// characters, at most 300 characters, without the password.
	Message string
	// Failed are the members that a desired state could not bind, if the
	// answer names them.
	Failed []netip.AddrPort
}

func (e *Error) Error() string {
	text := e.Message
	if text == "" {
		text = http.StatusText(e.Status)
	}
	if e.Code == 0 {
		text = fmt.Sprintf("HTTP %d: %s", e.Status, text)
	} else {
		text = fmt.Sprintf("NITRO %d (HTTP %d): %s", e.Code, e.Status, text)
	}
	if advice := e.advice(); advice != "" {
		text += "; " + advice
	}
	return text
}

// Codes of NITRO, from its error list ("NITRO documentation, error codes").
const (
	codeNotPermitted      = 257
	codeNoSuchResource    = 258
	codeDeviceBusy        = 272
	codeExists            = 273
	codeInvalidArgument   = 278
	codeUnavailable       = 291 // resource temporarily unavailable
	codeInProgress        = 293
	codeNoService         = 344
	codePeerFailed        = 349 // failed on the secondary, done on the primary
	codeNoServer          = 351
	codeLoginRequired     = 352
	codeBadLogin          = 354
	codeBadLogin2         = 355
	codePeerState         = 364
	codeSystemState       = 365
	codeNotStable         = 366
	codeOnlySecondary     = 367
	codeOnlyPrimary       = 368
	codeNoPolicy          = 371
	codeNameConflict      = 432
	codeServerNameExists  = 433
	codeSessionExpired    = 444
	codeSessionLimit      = 445
	codeConnectionLimit   = 446
	codeSessionConns      = 447
	codePeerUnreachable   = 457
	codePeerTimeout       = 458
	codeNoVServer         = 461
	codeNoServiceGroup    = 463
	codeSaving            = 603
	codeLoginFailed       = 1025
	codeNotLoggedIn       = 1026
	codeConnectionTimeout = 1027
	codeOnSecondary       = 1028
	codeLoginChallenged   = 1034
	codeClusterNode       = 1044
	codeAcceptEULA        = 1045
	codeForcePassword     = 1046
	codeNotOnCluster      = 1065
	codeNoSuchArgument    = 1090
	codeArgumentMissing   = 1095
	codeTooLong           = 1106
	codeTooBig            = 1108
	codeTooSmall          = 1109
	codeUnchanged         = 1133
	codeClusterReadOnly   = 1203
	codeNoBind            = 1208
	codeSessionTimeout    = 1219
	codeObjectName        = 1232 // no such type
	codeMethod            = 1237
	codeInvalidAction     = 1240
	codeBulkFailed        = 1243
	codeNotAttempted      = 1265
	codeNotBound          = 1303
	codeServerExists      = 1335
	codeTooManySaves      = 1461
	codeNotAuthorized     = 2138
	codeNoPartition       = 2755
	codeNotAutoscale      = 3810 // not a group with autoscale CLOUD or API
)

// Codes that a NetScaler Console has for itself. They say nothing of what a
// call was about.
const (
	firstOfConsole      = 10000
	codeConsoleSessions = 10020 // the user has too many
)

// advice is what an operator can do about it.
func (e *Error) advice() string {
	switch e.Code {
	case codeNotAuthorized, codeNoPolicy:
		// The message ends in the CLI form of the call, which is what command
		// policies are matched with.
		if _, command, ok := strings.Cut(e.Message, "["); ok {
			return fmt.Sprintf("the command policy of the NetScaler user must allow %q", strings.TrimSuffix(command, "]"))
		}
		return "the command policy of the NetScaler user must allow it"
	case codeBadLogin, codeBadLogin2:
		return "check username and password"
	case codeSessionLimit, codeConnectionLimit, codeSessionConns, codeConsoleSessions:
		return "the NetScaler has too many sessions or connections (show system session)"
	case codeOnSecondary, codeOnlyPrimary:
		return "this node is a secondary; give the URLs of both nodes"
	case codeLoginChallenged:
		return "the user needs a second factor; use a user that does not"
	case codeAcceptEULA, codeForcePassword:
		return "log in once by hand"
	case codeClusterNode, codeClusterReadOnly:
		return "use the cluster's address"
	case 0:
		if e.Status == http.StatusServiceUnavailable {
			return "the NetScaler's management service is starting or overloaded"
		}
	}
	return ""
}

// busy: the appliance did not do it, and will later.
func (e *Error) busy() bool {
	switch e.Code {
	case codeDeviceBusy, codeUnavailable, codeInProgress,
		codePeerState, codeSystemState, codeNotStable,
		codeSessionLimit, codeConnectionLimit, codeSessionConns, codeConsoleSessions,
		codeSaving, codeTooManySaves:
		return true
	case 0:
		return e.Status == http.StatusServiceUnavailable || e.Status == http.StatusTooManyRequests
	}
	return false
}

// broken: something between the client and NITRO failed, so that the answer
// does not tell whether the call was carried out.
func (e *Error) broken() bool {
	return e.Code == 0 && !e.busy() && (e.Status >= 500 || e.Status < 300)
}

// sessionDead: the call was not carried out, because its session is not known
// (any more). A 401 is the web server's way to say so, and whatever code a
// NetScaler Console gives with it.
func sessionDead(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case codeLoginRequired, codeSessionExpired, codeNotLoggedIn, codeConnectionTimeout:
		return true
	case codeBadLogin, codeBadLogin2, codeLoginFailed:
		return false
	}
	return e.Status == http.StatusUnauthorized
}

// refused is the NITRO error that err is, if the appliance understood the call
// and turned it down; nil for all other trouble.
func refused(err error) *Error {
	var (
		e       *Error
		outside sessionError
	)
	if !errors.As(err, &e) || e.Code == 0 || e.Code >= firstOfConsole || e.busy() || sessionDead(err) || errors.As(err, &outside) {
		return nil
	}
	return e
}

// noGroup says whether the refusal of a call about group means that there is
// no such group: 258 names the argument that did not match, which may also be
// a server ("NITRO error 258, recorded: No such resource [serviceGroupName, X]").
func (e *Error) noGroup(group string) bool {
	if e.Code != codeNoSuchResource {
		return false
	}
	message := strings.ToLower(e.Message)
	return strings.Contains(message, "[servicegroupname") ||
		strings.Contains(message, "[name, "+strings.ToLower(group)+"]")
}

// unknownArgument: the release does not know an argument of the call.
func (e *Error) unknownArgument() bool {
	return e.Code == codeInvalidArgument || e.Code == codeNoSuchArgument
}

// names says whether the refusal is of the argument, which NITRO names in
// brackets; "" is any.
func (e *Error) names(argument string) bool {
	return e.unknownArgument() && strings.Contains(strings.ToLower(e.Message), "["+argument)
}

// noOrder is the refusal of an order by a build that has none.
func noOrder(e *Error) error { return fmt.Errorf("%w; %w", e, ErrNoOrder) }

// missing names the group that is not there, and the remedy.
func missing(group string) error {
	return fmt.Errorf("service group %s: %w; create it, or correct its name in the mapping", group, ErrNoGroup)
}

// printable is text that came over the network, fit to print: see [redact.Line].
func printable(text string) string { return redact.Line(text, 300) }
