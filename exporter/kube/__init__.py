"""The Kubernetes API: credentials, requests, list and watch, WebSocket; nothing of Istio."""
