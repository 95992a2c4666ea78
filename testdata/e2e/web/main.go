// Web is the app that the end-to-end tests deploy: one static binary that is
// the whole of its container's image.
//
//	web         serves HTTP on port 80: GET / names the container,
//	            POST /sick makes its health check fail, POST /well ends that
//	web check   is the image's HEALTHCHECK
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "check" {
		if err := check(); err != nil {
			log.Fatal(err)
		}
		return
	}
	log.Fatal(serve())
}

func serve() error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	// The first process of a container has no default for SIGTERM: without this
	// every stop would take the engine's ten seconds of grace.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() { <-stop; os.Exit(0) }()

	var sick atomic.Bool
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, name) })
	http.HandleFunc("POST /sick", func(http.ResponseWriter, *http.Request) { sick.Store(true) })
	http.HandleFunc("POST /well", func(http.ResponseWriter, *http.Request) { sick.Store(false) })
	http.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		if sick.Load() {
			http.Error(w, "sick", http.StatusServiceUnavailable)
		}
	})
	return http.ListenAndServe(":80", nil)
}

func check() error {
	client := http.Client{Timeout: time.Second}
	resp, err := client.Get("http://127.0.0.1/health")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("health: %s", resp.Status)
	}
	return nil
}
