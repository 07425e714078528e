//go:build tools

// Package binaries names the commands that are built as their projects ship them.
package binaries

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "helm.sh/helm/v4/cmd/helm"
)
