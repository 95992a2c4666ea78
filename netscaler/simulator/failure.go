package simulator

import "fmt"

// failure is a refusal as NITRO words it: a code, its fixed text, and what it
// is about in brackets.
type failure struct {
	code   int
	detail string
	text   string // replaces the code's own text; faults use it
	extra  []byte // further members of the JSON object, ", " first
}

func fail(code int, detail ...any) *failure {
	f := &failure{code: code}
	for i, d := range detail {
		if i > 0 {
			f.detail += ", "
		}
		f.detail += fmt.Sprint(d)
	}
	return f
}

func (f *failure) message() string {
	text := f.text
	if text == "" {
		text = texts[f.code]
	}
	if text == "" {
		text = "NITRO command Execution failed"
	}
	if f.detail != "" {
		text += " [" + f.detail + "]"
	}
	return text
}

func (f *failure) severity() string {
	switch f.code {
	case 0:
		return "NONE"
	case codeNotAttempted, codeOnSecondary, codeFeatureOff:
		return "WARNING"
	}
	return "ERROR"
}

// The codes that the simulator gives. Their texts are NITRO's own ("NITRO
// errors" in the NITRO documentation, and the 14.1 list).
const (
	codeNotPermitted      = 257
	codeNoResource        = 258
	codeExists            = 273
	codeInvalidArgument   = 278
	codeSaving            = 293
	codePeerFailed        = 349
	codeNoServer          = 351
	codeLoginRequired     = 352
	codeBadPassword       = 354
	codePrimaryOnly       = 368
	codeServerNameTaken   = 433
	codeGroupFull         = 435
	codeSessionDead       = 444
	codeSessionLimit      = 445
	codeConnectionLimit   = 446
	codeNotLoggedIn       = 1027
	codeOnSecondary       = 1028
	codeOnCluster         = 1065
	codeFeatureOff        = 1067
	codeValue             = 1074
	codeInvalidName       = 1075
	codeNoArgument        = 1090
	codeBothArguments     = 1092
	codePrerequisite      = 1093
	codeArgumentMissing   = 1095
	codeInvalidValue      = 1097
	codeTooLong           = 1106
	codeTooLarge          = 1108
	codeTooSmall          = 1109
	codeInvalidIP         = 1110
	codeSessionTimeout    = 1219
	codeObjectName        = 1232
	codeJSONInput         = 1233
	codeJSONType          = 1234
	codeMethod            = 1237
	codeAction            = 1240
	codeNoRollback        = 1242
	codeBulkFailed        = 1243
	codeBasicDisabled     = 1244
	codeNotAttempted      = 1265
	codeTypeMismatch      = 1304
	codeGroupInUse        = 1325
	codeServerExists      = 1335
	codeMembersFailed     = 1442
	codeGracefulUnbind    = 1443
	codeNotAuthorized     = 2138
	codeNoPartition       = 2755
	codeNotAutoscale      = 3810
	codeNoGracefulDisable = 3811
)

var texts = map[int]string{
	0:                     "Done",
	codeNotPermitted:      "Operation not permitted",
	codeNoResource:        "No such resource",
	269:                   "Permission denied",
	272:                   "Device busy",
	codeExists:            "Resource already exists",
	codeInvalidArgument:   "Invalid argument",
	291:                   "Resource temporarily unavailable",
	codeSaving:            "Operation already in progress",
	344:                   "No Service",
	codePeerFailed:        "Command failed on secondary node, but succeeded on primary node. Configuration will be synchronized between nodes",
	codeNoServer:          "No such server",
	codeLoginRequired:     "Login is required",
	codeBadPassword:       "Invalid username or password",
	codePrimaryOnly:       "Operation permitted only on primary node.",
	432:                   "Name conflicts with an existing service or service group member name",
	codeServerNameTaken:   "Server name already exists",
	codeGroupFull:         "Maximum services bound to service group exceeded",
	codeSessionDead:       "Session expired or killed. Please login again",
	codeSessionLimit:      "Session limit exceeded",
	codeConnectionLimit:   "Connection limit to CFE exceeded",
	463:                   "No such service/serviceGroup",
	603:                   "Configuration is being saved, please try again later",
	1026:                  "Not logged in",
	codeNotLoggedIn:       "Not logged in or connection timed out",
	codeOnSecondary:       "You are connected to a secondary node; configuration changes made in this session will not be propagated to, or saved on, other nodes",
	1043:                  "Internal error",
	codeOnCluster:         "Operation not permitted on CLIP",
	codeFeatureOff:        "Feature(s) not enabled",
	codeValue:             "Invalid value",
	codeInvalidName:       "Invalid name; names must begin with an alphanumeric character or underscore and must contain only alphanumerics, '_', '#', '.', ' ', ':', '@', '=' or '-'",
	codeNoArgument:        "No such argument",
	codeBothArguments:     "Arguments cannot both be specified",
	codePrerequisite:      "Argument pre-requisite missing",
	codeArgumentMissing:   "Required argument missing",
	codeInvalidValue:      "Invalid argument value",
	codeTooLong:           "String length exceeds maximum",
	codeTooLarge:          "Integer value exceeds maximum",
	codeTooSmall:          "Integer value below minimum",
	codeInvalidIP:         "Invalid IP address",
	codeSessionTimeout:    "Invalid Timeout value",
	codeObjectName:        "Invalid object name",
	codeJSONInput:         "Invalid JSON input",
	codeJSONType:          "Invalid JSON data type",
	codeMethod:            "Invalid method name. It should be either post, put, get, stat or delete",
	codeAction:            "Invalid nitro action or operation",
	codeNoRollback:        "Rollback not supported for this operation",
	codeBulkFailed:        "Bulk operation failed",
	codeBasicDisabled:     "Authentication Failed: Use of Basic Authentication is Disabled.",
	codeNotAttempted:      "command not attempted for configuration",
	1208:                  "No such bind resource",
	1303:                  "Service not bound to Vserver",
	codeTypeMismatch:      "Service type mismatch between the vserver and service",
	codeGroupInUse:        "Service/servicegroup is bound to one or more vserver. Please unbind and retry",
	codeServerExists:      "Server already exists",
	codeMembersFailed:     "Failed to bind some servicegroup members",
	codeGracefulUnbind:    "Cannot perform unbind operation on graceful unbind service group members",
	codeNotAuthorized:     "Not authorized to execute this command",
	codeNoPartition:       "Partition does not exist",
	codeNotAutoscale:      "Operation is supported for servicegroup with autoscale type CLOUD or API only.",
	codeNoGracefulDisable: "Auto Disable Graceful not enabled. Set autoDisablegraceful parameter to YES.",
}

// statuses holds the HTTP statuses that were recorded or can be derived; every
// other code goes out as 599.
var statuses = map[int]int{
	0:                   200,
	codeNoResource:      404,
	codeExists:          409,
	344:                 404,
	codeLoginRequired:   401,
	codeBadPassword:     401,
	codeSessionDead:     401,
	1025:                401,
	1026:                401,
	codeNotLoggedIn:     401,
	codeInvalidName:     400,
	codeBothArguments:   400,
	codePrerequisite:    400,
	codeArgumentMissing: 400,
	codeObjectName:      400,
	codeJSONInput:       400,
	codeJSONType:        400,
	codeMethod:          400,
	codeAction:          400,
	1241:                207,
	codeNoRollback:      207,
	codeBulkFailed:      207,
	codeBasicDisabled:   401,
	codeServerExists:    409,
	codeMembersFailed:   207,
	1642:                409,
	codeNotAuthorized:   403,
}

func (s *Simulator) status(code int) int {
	if status := s.opt.Status[code]; status != 0 {
		return status
	}
	if status := statuses[code]; status != 0 {
		return status
	}
	return 599
}

// warning is the header X-NITRO-WARNING.
func (f *failure) warning() string { return fmt.Sprintf("%d - %s", f.code, f.message()) }

func (f *failure) appendTo(b []byte) []byte {
	b = appendHead(b, f)
	b = append(b, f.extra...)
	return append(b, " }"...)
}

// appendHead begins the object that every answer with a body is.
func appendHead(b []byte, f *failure) []byte {
	b = append(b, `{ "errorcode": `...)
	b = fmt.Append(b, f.code)
	b = append(b, `, "message": `...)
	b = appendText(b, f.message())
	b = append(b, `, "severity": `...)
	return appendText(b, f.severity())
}
