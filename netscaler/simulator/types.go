package simulator

// configTypes are the types under /nitro/v1/config that are known, beside
// login, logout and macroapi, which are no objects.
var configTypes = map[string]*resource{
	"servicegroup": {
		key: "servicegroupname", shows: "show serviceGroup", show: showGroups, args: []string{"includemembers", "servicegroupname"},
		add: addGroup, set: setGroup, rm: rmGroup,
		actions: map[string]*command{"enable": enableGroup, "disable": disableGroup, "unset": unsetGroup, "rename": renameGroup},
	},
	"servicegroup_servicegroupmember_binding": memberResource,
	"servicegroup_servicegroupmemberlist_binding": {
		key: "servicegroupname", binding: true, add: setMembers, rm: clearMembers,
	},
	"servicegroup_binding": {key: "servicegroupname", binding: true, shows: "show serviceGroup", show: showGroupBinding},
	"servicegroupbindings": {key: "servicegroupname", binding: true, shows: "show servicegroupbindings", show: showGroupUsers},
	"servicegroup_lbmonitor_binding": {
		key: "servicegroupname", binding: true, shows: "show serviceGroup", show: showGroupMonitors,
		add: bindMonitor, rm: unbindMonitor,
	},
	"server": {
		key: "name", shows: "show server", show: showServers,
		add: addServer, set: setServer, rm: rmServer,
		actions: map[string]*command{"enable": enableServer, "disable": disableServer},
	},
	"server_binding":              {key: "name", binding: true, shows: "show server", show: showServerBinding},
	"server_servicegroup_binding": {key: "name", binding: true, shows: "show server", show: showServerGroups},
	"lbvserver": {
		key: "name", shows: "show lb vserver", show: showVservers,
		add: addVserver, set: setVserver, rm: rmVserver,
	},
	"lbvserver_servicegroup_binding": {
		key: "name", binding: true, shows: "show lb vserver", show: showVserverGroups,
		add: bindVserver, rm: unbindVserver,
	},
	"lbmonitor": {
		key: "monitorname", shows: "show lb monitor", show: showMonitors,
		add: addMonitor, set: setMonitor, rm: rmMonitor,
	},
	"nsversion":   {shows: "show ns version", show: showVersion, single: true},
	"nsconfig":    {shows: "show ns config", show: showConfig, single: true, actions: map[string]*command{"save": saveCommand}},
	"nsfeature":   {shows: "show ns feature", show: showFeatures, single: true},
	"hanode":      {key: "id", shows: "show HA node", show: showNodes},
	"clusternode": {key: "nodeid", shows: "show cluster node", show: showClusterNodes},
	"nspartition": {
		key: "partitionname", shows: "show ns partition", show: showPartitions,
		add: addPartition, actions: map[string]*command{"switch": switchPartition},
	},
	"systemsession": {key: "sid", shows: "show system session", show: showSessions},
}

// statTypes are those under /nitro/v1/stat.
var statTypes = map[string]*resource{
	"servicegroup": {key: "servicegroupname", shows: "stat serviceGroup", show: groupStats},
	"hanode":       {shows: "stat HA node", show: nodeStats, single: true},
}
