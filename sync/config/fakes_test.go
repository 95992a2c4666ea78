package config_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"nitrox/sources"
)

// Two kinds of sources that have all that real ones have: texts, numbers,
// files, lists, addresses, durations, words to choose from, and checks.

type plainConfig struct {
	Path   sources.Path  `yaml:"path"`
	MaxAge time.Duration `yaml:"max_age"`
}

type plainQuery struct {
	App string `yaml:"app"`
}

type mode string

func (m mode) Check() error {
	if m != "swarm" && m != "engine" {
		return fmt.Errorf("%q is neither swarm nor engine", string(m))
	}
	return nil
}

type tls struct {
	CAFile sources.Path `yaml:"ca_file"`
}

type clusterConfig struct {
	Host  string   `yaml:"host"`
	Hosts []string `yaml:"hosts"`
	tls
	HostAddress netip.Addr `yaml:"host_address"`
	Mode        mode       `yaml:"mode"`
}

func (c clusterConfig) Check() error {
	var errs []error
	switch {
	case c.Host == "" && len(c.Hosts) == 0:
		errs = append(errs, &sources.KeyError{Key: "host", Err: errors.New("is missing")})
	case c.Host != "" && len(c.Hosts) > 0:
		errs = append(errs, &sources.KeyError{Key: "hosts", Err: errors.New("stands beside host")})
	}
	for i, h := range c.Hosts {
		if !strings.HasPrefix(h, "tcp://") {
			errs = append(errs, &sources.KeyError{Key: fmt.Sprintf("hosts[%d]", i), Err: fmt.Errorf("%q does not begin with tcp://", h)})
		}
	}
	return errors.Join(errs...)
}

type clusterQuery struct {
	Service string `yaml:"service"`
	Label   string `yaml:"label"`
	Port    int    `yaml:"port"`
}

func (q *clusterQuery) Check() error {
	var errs []error
	switch {
	case q.Service == "" && q.Label == "":
		errs = append(errs, &sources.KeyError{Key: "service", Err: errors.New("is missing; name a service or a label")})
	case q.Service != "" && q.Label != "":
		errs = append(errs, &sources.KeyError{Key: "label", Err: errors.New("stands beside service")})
	}
	if q.Port < 1 || q.Port > 65535 {
		errs = append(errs, &sources.KeyError{Key: "port", Err: fmt.Errorf("%d is no port", q.Port)})
	}
	return errors.Join(errs...)
}

// told answers each query by saying what it and the configuration are.
type told[C, Q any] struct{ config C }

func (t told[C, Q]) Poll(_ context.Context, queries []Q, _ bool) ([]sources.Answer, error) {
	answers := make([]sources.Answer, len(queries))
	for i, q := range queries {
		answers[i].LeftOut = []sources.LeftOut{{What: fmt.Sprintf("%+v", t.config), Why: fmt.Sprintf("%+v", q)}}
	}
	return answers, nil
}

var kinds = []sources.Kind{
	sources.Define("plain", func(c plainConfig) (told[plainConfig, plainQuery], error) {
		var err error
		switch {
		case strings.HasSuffix(string(c.Path), ".yaml"):
			err = &sources.KeyError{Key: "path", Err: fmt.Errorf("%s is not JSON", c.Path)}
		case strings.Contains(string(c.Path), "wrapped"):
			err = fmt.Errorf("open: %w", &sources.KeyError{Key: "path", Err: errors.New("is wrapped")})
		case strings.Contains(string(c.Path), "whole"):
			err = errors.New("nothing of this can be opened")
		}
		return told[plainConfig, plainQuery]{c}, err
	}),
	sources.Define("cluster", func(c clusterConfig) (told[clusterConfig, clusterQuery], error) {
		return told[clusterConfig, clusterQuery]{c}, nil
	}),
}
