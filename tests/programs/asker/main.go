// Command asker keeps an HTTP server on this machine busy: each of its connections sends the requests that its
// arguments name, one after the other, again and again. A request is `METHOD URL` or `METHOD URL BODY`; `{n}` in it
// stands for a number of twelve digits that each round of a connection has for itself. It says ten times a second
// on stdout how many answers it has had, and ends when stdin closes, or after -seconds.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

const (
	firstNumber = 100_000_000_000 // twelve digits: whole quanta of base64, too
	patience    = 30 * time.Second
	afterError  = 20 * time.Millisecond
)

var (
	answers atomic.Uint64
	rounds  atomic.Uint64
)

type request struct {
	method, url, body string
}

// parse takes a request apart, and refuses one that would leave this machine.
func parse(argument string) (request, error) {
	parts := append(strings.SplitN(argument, " ", 3), "", "")
	found := request{parts[0], parts[1], parts[2]}
	where, err := url.Parse(strings.ReplaceAll(found.url, "{n}", "0"))
	if err != nil {
		return found, err
	}
	if ip := net.ParseIP(where.Hostname()); ip == nil || !ip.IsLoopback() {
		return found, fmt.Errorf("%s: not an address of this machine", found.url)
	}
	return found, nil
}

// send sends one request, and reads its answer to the end.
func send(client *http.Client, r request, header http.Header, number string) error {
	body := strings.ReplaceAll(r.body, "{n}", number)
	to, err := http.NewRequest(r.method, strings.ReplaceAll(r.url, "{n}", number), bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	to.Header = header
	answer, err := client.Do(to)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	answers.Add(1)
	return err
}

// keep sends rounds of requests over a connection of its own, for as long as the program runs.
func keep(requests []request, header http.Header) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}, Timeout: patience}
	for {
		number := fmt.Sprint(firstNumber + rounds.Add(1))
		for _, r := range requests {
			if send(client, r, header, number) != nil {
				time.Sleep(afterError)
			}
		}
	}
}

func main() {
	connections := flag.Int("connections", 4, "how many ask at a time")
	seconds := flag.Int("seconds", 600, "when to end at the latest")
	token := flag.String("token", "", "the Authorization of each request")
	flag.Parse()
	var requests []request
	for _, argument := range flag.Args() {
		r, err := parse(argument)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		requests = append(requests, r)
	}
	header := http.Header{"Content-Type": {"application/json"}}
	if *token != "" {
		header.Set("Authorization", *token)
	}
	for range make([]struct{}, *connections) {
		go keep(requests, header)
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for range make([]struct{}, *seconds*10) {
		time.Sleep(100 * time.Millisecond)
		fmt.Println(answers.Load())
	}
}
