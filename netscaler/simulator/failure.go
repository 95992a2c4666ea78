package simulator

import (
	"cmp"
	"fmt"
)

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
	text := cmp.Or(f.text, codes[f.code].text, "NITRO command Execution failed")
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

// codes have the texts that NITRO gives, and the HTTP statuses that were recorded or can
// be derived; every other code goes out as 599.
var codes = map[int]struct {
	status int
	text   string
}{
	0:                     {200, "Done"},
	codeNotPermitted:      {0, "Operation not permitted"},
	codeNoResource:        {404, "No such resource"},
	269:                   {0, "Permission denied"},
	272:                   {0, "Device busy"},
	codeExists:            {409, "Resource already exists"},
	codeInvalidArgument:   {0, "Invalid argument"},
	291:                   {0, "Resource temporarily unavailable"},
	codeSaving:            {0, "Operation already in progress"},
	344:                   {404, "No Service"},
	codePeerFailed:        {0, "Command failed on secondary node, but succeeded on primary node. Configuration will be synchronized between nodes"},
	codeNoServer:          {0, "No such server"},
	codeLoginRequired:     {401, "Login is required"},
	codeBadPassword:       {401, "Invalid username or password"},
	codePrimaryOnly:       {0, "Operation permitted only on primary node."},
	432:                   {0, "Name conflicts with an existing service or service group member name"},
	codeServerNameTaken:   {0, "Server name already exists"},
	codeGroupFull:         {0, "Maximum services bound to service group exceeded"},
	codeSessionDead:       {401, "Session expired or killed. Please login again"},
	codeSessionLimit:      {0, "Session limit exceeded"},
	codeConnectionLimit:   {0, "Connection limit to CFE exceeded"},
	463:                   {0, "No such service/serviceGroup"},
	603:                   {0, "Configuration is being saved, please try again later"},
	1026:                  {401, "Not logged in"},
	codeNotLoggedIn:       {401, "Not logged in or connection timed out"},
	codeOnSecondary:       {0, "You are connected to a secondary node; configuration changes made in this session will not be propagated to, or saved on, other nodes"},
	1043:                  {0, "Internal error"},
	codeOnCluster:         {0, "Operation not permitted on CLIP"},
	codeFeatureOff:        {0, "Feature(s) not enabled"},
	codeValue:             {0, "Invalid value"},
	codeInvalidName:       {400, "Invalid name; names must begin with an alphanumeric character or underscore and must contain only alphanumerics, '_', '#', '.', ' ', ':', '@', '=' or '-'"},
	codeNoArgument:        {0, "No such argument"},
	codeBothArguments:     {400, "Arguments cannot both be specified"},
	codePrerequisite:      {400, "Argument pre-requisite missing"},
	codeArgumentMissing:   {400, "Required argument missing"},
	codeInvalidValue:      {0, "Invalid argument value"},
	codeTooLong:           {0, "String length exceeds maximum"},
	codeTooLarge:          {0, "Integer value exceeds maximum"},
	codeTooSmall:          {0, "Integer value below minimum"},
	codeInvalidIP:         {0, "Invalid IP address"},
	codeSessionTimeout:    {0, "Invalid Timeout value"},
	codeObjectName:        {400, "Invalid object name"},
	codeJSONInput:         {400, "Invalid JSON input"},
	codeJSONType:          {400, "Invalid JSON data type"},
	codeMethod:            {400, "Invalid method name. It should be either post, put, get, stat or delete"},
	codeAction:            {400, "Invalid nitro action or operation"},
	codeNoRollback:        {207, "Rollback not supported for this operation"},
	codeBulkFailed:        {207, "Bulk operation failed"},
	codeBasicDisabled:     {401, "Authentication Failed: Use of Basic Authentication is Disabled."},
	codeNotAttempted:      {0, "command not attempted for configuration"},
	1208:                  {0, "No such bind resource"},
	1303:                  {0, "Service not bound to Vserver"},
	codeTypeMismatch:      {0, "Service type mismatch between the vserver and service"},
	codeGroupInUse:        {0, "Service/servicegroup is bound to one or more vserver. Please unbind and retry"},
	codeServerExists:      {409, "Server already exists"},
	codeMembersFailed:     {207, "Failed to bind some servicegroup members"},
	codeGracefulUnbind:    {0, "Cannot perform unbind operation on graceful unbind service group members"},
	codeNotAuthorized:     {403, "Not authorized to execute this command"},
	codeNoPartition:       {0, "Partition does not exist"},
	codeNotAutoscale:      {0, "Operation is supported for servicegroup with autoscale type CLOUD or API only."},
	codeNoGracefulDisable: {0, "Auto Disable Graceful not enabled. Set autoDisablegraceful parameter to YES."},
	1025:                  {401, ""},
	1241:                  {207, ""},
	1642:                  {409, ""},
}

func (s *Simulator) status(code int) int {
	return cmp.Or(s.opt.Status[code], codes[code].status, 599)
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
