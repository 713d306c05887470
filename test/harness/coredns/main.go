// SPDX-License-Identifier: Apache-2.0

// Command coredns is CoreDNS with the plugins that cluster DNS and upstream's tests need, and no others: its own main
// package brings clients of cloud providers along.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
)

func main() {
	// A query is offered to plugins in this order, whatever the order in the Corefile.
	dnsserver.Directives = []string{"errors", "health", "ready", "log", "cache", "hosts", "kubernetes", "forward", "template"}
	coremain.Run()
}
