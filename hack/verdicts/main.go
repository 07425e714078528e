// What GitOps tools make of objects: kstatus (Helm 4, Flux), and Flux's health check expressions.
//
// On stdin: {"expressions": {"inProgress": …, "failed": …, "current": …}, "objects": [{…}, …]}, the expressions as in a
// Kustomization's healthCheckExprs. On stdout: [{"kstatus": "Current", "flux": "InProgress"}, …], one for each object in
// their order. An object that the expressions fail on is "Unknown" to Flux, and "error" says why.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type question struct {
	Expressions kustomize.HealthCheckExpressions `json:"expressions"`
	Objects     []*unstructured.Unstructured     `json:"objects"`
}

type verdict struct {
	Kstatus status.Status `json:"kstatus"`
	Flux    status.Status `json:"flux"`
	Error   string        `json:"error,omitempty"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return fmt.Errorf("stdin: %w", err)
	}
	flux, err := cel.NewStatusEvaluator(&asked.Expressions)
	if err != nil {
		return err
	}
	told := make([]verdict, len(asked.Objects))
	for index, object := range asked.Objects {
		if told[index], err = judge(flux, object); err != nil {
			return fmt.Errorf("objects[%d]: %w", index, err)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(told)
}

func judge(flux *cel.StatusEvaluator, object *unstructured.Unstructured) (verdict, error) {
	plain, err := status.Compute(object)
	if err != nil {
		return verdict{}, err
	}
	told := verdict{Kstatus: plain.Status}
	if result, err := flux.Evaluate(context.Background(), object); err != nil {
		told.Flux, told.Error = status.UnknownStatus, err.Error()
	} else {
		told.Flux = result.Status
	}
	return told, nil
}
