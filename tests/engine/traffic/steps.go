// SPDX-License-Identifier: Apache-2.0

// What the sessions in Go share.
package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func same(got, want string) {
	if got != want {
		panic(fmt.Sprintf("%q is not %q", got, want))
	}
}

func archive(name, text string) io.Reader {
	var packed bytes.Buffer
	writer := tar.NewWriter(&packed)
	check(writer.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}))
	must(writer.Write([]byte(text)))
	check(writer.Close())
	return &packed
}
