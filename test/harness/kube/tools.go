// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Names what is built from these modules beside main.go, so that `go mod tidy` keeps what it needs: upstream's
// end-to-end tests, with the program that runs them in parallel, and the program inside most of their images.
package main

import (
	_ "github.com/onsi/ginkgo/v2/ginkgo"
	_ "k8s.io/kubernetes/test/e2e"
	_ "k8s.io/kubernetes/test/images/agnhost"
	_ "k8s.io/kubernetes/test/images/regression-issue-74839"
)
