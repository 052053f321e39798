// SPDX-License-Identifier: Apache-2.0

// The least that an authorization plugin can be: reads the call, allows it. What the engine's own side of authorization
// costs.
package main

import (
	"io"
	"log"
	"net"
	"net/http"
	"os"
)

func main() {
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	answer := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/vnd.docker.plugins.v1.2+json")
			io.WriteString(w, text)
		}
	}
	http.HandleFunc("/Plugin.Activate", answer(`{"Implements":["authz"]}`))
	http.HandleFunc("/", answer(`{"Allow":true}`))
	log.Fatal(http.Serve(listener, nil))
}
