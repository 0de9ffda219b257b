// Holds the alerting rules of Prometheus.

package deploy

import _ "embed" // for the rules

//go:embed alerts.yml
var alerts string

// Alerts returns alerting rules of Prometheus over the metrics of archive and serve, as YAML.
func Alerts() string { return alerts }
