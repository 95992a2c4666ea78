package docker_test

var healthyNodes = [][2]string{
	{"Role", "primary"}, {"Strategy", "spread"}, {"Filters", "health, port"}, {"Nodes", "2"},
	{" node-1", "10.0.0.1:2375"}, {"  └ ID", "AAAA"}, {"  └ Status", "Healthy"}, {"  └ Containers", "3"},
	{" node-2", "10.0.0.2:2375"}, {"  └ ID", "BBBB"}, {"  └ Status", "Healthy"}, {"  └ Labels", "a=b"},
}

// container publishes its port 80 on all addresses.
func container(name string, public int) object {
	return object{
		"Id": "0123456789abcdef" + name, "Names": []string{name}, "Labels": object{"app": "web"},
		"State": "running", "Status": "Up 2 hours", "HostConfig": object{"NetworkMode": "default"},
		"Ports": []object{
			{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": public, "Type": "tcp"},
			{"IP": "::", "PrivatePort": 80, "PublicPort": public, "Type": "tcp"},
			{"PrivatePort": 443, "Type": "tcp"},
		},
	}
}

