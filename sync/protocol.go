package sync

import (
	"cmp"
	"fmt"
	"strings"

	"nitrox/netscaler"
	"nitrox/sources"
)

// protocols say which protocol the members of a service group of each type
// speak (NITRO documentation, servicegroup, servicetype). Of types that are not
// here nothing is said: ANY takes all, GRE has no ports, and what RPCSVR speaks no
// document tells. No other takes SCTP.
var protocols = func() map[string]sources.Protocol {
	all := map[string]sources.Protocol{}
	for protocol, types := range map[sources.Protocol]string{
		sources.UDP: "UDP DNS ADNS SNMP DHCPRA SIP_UDP DTLS RADIUS RADIUSLISTENER TFTP SYSLOGUDP QUIC QUIC_BRIDGE HTTP_QUIC IPFIX",
		sources.TCP: "TCP HTTP FTP SSL SSL_BRIDGE SSL_TCP NNTP RTSP SIP_TCP SIP_SSL DNS_TCP ADNS_TCP DOT ADNS_DOT ADNS_DOH " +
			"MYSQL MSSQL ORACLE MONGO MONGO_TLS RDP DIAMETER SSL_DIAMETER SMPP PPTP SYSLOGTCP FIX SSL_FIX USER_TCP USER_SSL_TCP " +
			"LOGSTREAM LOGSTREAM_SSL MQTT MQTT_TLS KAFKA_BROKER PROXY",
	} {
		for _, name := range strings.Fields(types) {
			all[name] = protocol
		}
	}
	return all
}()

// ProtocolOf is what the members of service groups of a type speak; "": nothing is
// known of it.
func ProtocolOf(serviceType string) sources.Protocol { return protocols[strings.ToUpper(serviceType)] }

// serviceType is that of the draft's service group, or of the one to be made; "":
// it was not asked for.
func (d *draft) serviceType() string {
	switch {
	case d.attrs != nil:
		return d.attrs.ServiceType
	case d.missing:
		return d.App.Create.ServiceType
	}
	return ""
}

// mismatch is why endpoints cannot be members of a group of this type: they speak
// another protocol. Its monitors would find them all down.
func mismatch(app App, serviceType string, answers []sources.Answer) error {
	takes := ProtocolOf(serviceType)
	for i, answer := range answers {
		for _, e := range answer.Endpoints {
			if e.Protocol == "" || takes == "" || e.Protocol == takes {
				continue
			}
			return fmt.Errorf("service group %s: its service type %s takes %s, but source %s gives %v, which speaks %s; "+
				"choose the port by its protocol (port: NUMBER/%s), or use a service group of another type",
				app.Group, serviceType, upper(takes), app.From[i].Source, e.Addr, upper(e.Protocol), takes)
		}
	}
	return nil
}

func upper(p sources.Protocol) string { return strings.ToUpper(string(p)) }

// agreeing are the drafts whose endpoints speak what their groups take; of the
// others nothing is changed.
func agreeing(drafts []*draft) (left []*draft) {
	for _, d := range drafts {
		if serviceType := d.serviceType(); serviceType != "" {
			if d.Err = mismatch(d.App, serviceType, d.Answers); d.Err != nil {
				continue
			}
		}
		left = append(left, d)
	}
	return left
}

// Unsuited is why a service group of these attributes cannot be the app's, whatever
// its members; answers are those of the app's sources, as far as they are known.
func Unsuited(app App, a netscaler.Attrs, answers []sources.Answer) error {
	return cmp.Or(ruled(app.Group, a, Plan{}), mismatch(app, a.ServiceType, answers))
}

// Makeable is why the virtual server in front of the app's service group cannot be
// had.
func Makeable(app App, front netscaler.FrontEnd) error { return makeable(app, front) }

// Unlike are the attributes of a service group that differ from what the mapping
// asks for; they are left as they are.
func Unlike(app App, a netscaler.Attrs) []string {
	all := unlike(app, a)
	if a.Autoscale == "API" {
		all = append(all, ownDrain(a, app)...)
	}
	return all
}
