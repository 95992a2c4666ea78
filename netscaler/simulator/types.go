package simulator

// macroResource is objects of several types.
var macroResource = &resource{}

// configTypes are the types under /nitro/v1/config that are known, beside
// login and logout, which are not objects.
var configTypes = map[string]*resource{
	"macroapi": macroResource,
	"servicegroup": {
		key: "servicegroupname", shows: "show serviceGroup", show: showGroups, args: []string{"includemembers", "servicegroupname"},
		add: addGroup, set: setGroup, rm: rmGroup,
		actions: map[string]*command{"enable": enableGroup, "disable": disableGroup, "unset": unsetGroup, "rename": renameGroup},
	},
	"servicegroup_servicegroupmember_binding": memberResource,
	"servicegroup_servicegroupmemberlist_binding": {
		key: "servicegroupname", binding: true, add: setMembers, rm: clearMembers,
	},
	"servicegroup_binding": {
		key: "servicegroupname", binding: true, shows: "show serviceGroup", show: showGroupBinding, rm: unbindMember,
	},
	"servicegroupbindings": {key: "servicegroupname", binding: true, shows: "show servicegroupbindings", show: showGroupUsers},
	"servicegroup_lbmonitor_binding": {
		key: "servicegroupname", binding: true, shows: "show serviceGroup", show: showGroupMonitors,
		add: bindMonitor, rm: unbindMonitor,
	},
	"server": {
		key: "name", shows: "show server", show: showServers, args: []string{"internal"},
		add: addServer, set: setServer, rm: rmServer,
		actions: map[string]*command{"enable": enableServer, "disable": disableServer, "unset": unsetServer, "rename": renameServer},
	},
	"server_binding":              {key: "name", binding: true, shows: "show server", show: showServerBinding},
	"server_servicegroup_binding": {key: "name", binding: true, shows: "show server", show: showServerGroups},
	"lbvserver": {
		key: "name", shows: "show lb vserver", show: showVservers,
		add: addVserver, set: setVserver, rm: rmVserver,
		actions: map[string]*command{"enable": enableVserver, "disable": disableVserver, "unset": unsetVserver, "rename": renameVserver},
	},
	"lbvserver_servicegroup_binding": {
		key: "name", binding: true, shows: "show lb vserver", show: showVserverGroups,
		add: bindVserver, rm: unbindVserver,
	},
	"lbmonitor": {
		key: "monitorname", lookup: true, shows: "show lb monitor", show: showMonitors,
		add: addMonitor, set: setMonitor, rm: rmMonitor,
		actions: map[string]*command{"unset": unsetMonitor, "enable": enableMonitor, "disable": disableMonitor},
	},
	"lbmonitor_servicegroup_binding": {
		key: "monitorname", binding: true, shows: "show lb monitor", show: showMonitorGroups,
		add: bindToGroup, rm: unbindFromGroup,
	},
	"service":                              {key: "name", shows: "show service", show: showServices, args: []string{"all", "internal"}},
	"lbvserver_service_binding":            {key: "name", binding: true, shows: "show lb vserver", show: showVserverServices},
	"lbvserver_binding":                    {key: "name", binding: true, shows: "show lb vserver", show: showVserverBinding},
	"lbvserver_servicegroupmember_binding": {key: "name", binding: true, shows: "show lb vserver", show: showVserverMembers},
	"csvserver":                            {key: "name", shows: "show cs vserver", show: showContentVservers},
	"sslcertkey":                           {key: "certkey", shows: "show ssl certKey", show: showCertificates},
	"nsip":                                 {key: "ipaddress", lookup: true, shows: "show ns ip", show: showIPs},
	"nshardware":                           {shows: "show ns hardware", show: showHardware, single: true},
	"nslicense":                            {shows: "show ns license", show: showLicense, single: true},
	"nsversion":                            {shows: "show ns version", show: showVersion, single: true, args: []string{"installedversion"}},
	"nshostname":                           {shows: "show ns hostName", show: showHostname, single: true},
	"nsrunningconfig":                      {shows: "show ns runningConfig", show: showRunning, single: true, args: []string{"withdefaults"}},
	"nssavedconfig":                        {shows: "show ns savedConfig", show: showSaved, single: true},
	"nsconfig": {
		shows: "show ns config", show: showConfig, single: true,
		actions: map[string]*command{"save": saveCommand, "clear": clearCommand},
	},
	"nsfeature": {
		shows: "show ns feature", show: features.show, single: true,
		actions: map[string]*command{"enable": features.command("enable"), "disable": features.command("disable")},
	},
	"nsmode": {
		shows: "show ns mode", show: modes.show, single: true,
		actions: map[string]*command{"enable": modes.command("enable"), "disable": modes.command("disable")},
	},
	"hanode":      {key: "id", shows: "show HA node", show: showNodes},
	"clusternode": {key: "nodeid", shows: "show cluster node", show: showClusterNodes},
	"nspartition": {
		key: "partitionname", shows: "show ns partition", show: showPartitions,
		add: addPartition, actions: map[string]*command{"switch": switchPartition},
	},
	"systemuser":      {key: "username", shows: "show system user", show: showUsers},
	"systemcmdpolicy": {key: "policyname", shows: "show system cmdPolicy", show: showPolicies},
	"systemuser_systemcmdpolicy_binding": {
		key: "username", binding: true, shows: "show system user", show: boundTo("username", func(s *Simulator) map[string]*account { return s.access.users }),
	},
	"systemgroup_systemcmdpolicy_binding": {
		key: "groupname", binding: true, shows: "show system group", show: boundTo("groupname", func(s *Simulator) map[string]*account { return s.access.groups }),
	},
	"systemuser_systemgroup_binding": {key: "username", binding: true, shows: "show system user", show: showGroupsOfUser},
	"systemsession":                  {key: "sid", shows: "show system session", show: showSessions},
}

// statTypes are those under /nitro/v1/stat.
var statTypes = map[string]*resource{
	"servicegroup": {key: "servicegroupname", shows: "stat serviceGroup", show: groupStats},
	"servicegroupmember": {
		shows: "stat serviceGroupMember", show: memberStats, args: []string{"servicegroupname", "servername", "ip", "port"},
	},
	"lbvserver": {key: "name", lookup: true, shows: "stat lb vserver", show: vserverStats},
	"csvserver": {key: "name", lookup: true, shows: "stat cs vserver", show: contentVserverStats},
	"service":   {key: "name", lookup: true, shows: "stat service", show: serviceStats},
	"ns":        {shows: "stat ns", show: systemStats, single: true},
	"system":    {shows: "stat system", show: systemStats, single: true},
	"hanode":    {shows: "stat HA node", show: nodeStats, single: true},
}
