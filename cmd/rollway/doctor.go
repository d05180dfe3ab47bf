package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/rollway/rollway/internal/doctor"
)

const doctorHelp = `Look at the machine and say what of it is good for a server, what costs speed or
safety, and what to do about it: kernel, file system and free space of the data
directory, open files, dirty pages, congestion control, clock, and which ways
from files to sockets are live. It changes nothing and may run beside a live
server; then it also names the topics that show records before they are durable.

Each line is ok, warn or fail. The exit code is 1 if any is fail, else 0.`

func (p *program) newDoctor() *cobra.Command {
	var dir string
	var json bool
	cmd := &cobra.Command{
		Use:               "doctor",
		Short:             "Look at the machine and say what to improve",
		Long:              doctorHelp,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			return p.report(doctor.Examine(dir), json)
		},
	}
	cmd.Flags().StringVar(&dir, "data", defaultData, "data `directory` of the server; it need not exist")
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	cmd.MarkFlagDirname("data")
	return cmd
}

// report prints the findings.
func (p *program) report(findings []doctor.Finding, json bool) error {
	if json {
		if err := writeJSON(p.stdout, findings); err != nil {
			return err
		}
	} else {
		t := newTable("STATUS", "CHECK", "FOUND")
		for _, f := range findings {
			t.add(string(f.Status), f.Name, f.Found)
			if f.Remedy != "" {
				t.add("", "", "-> "+f.Remedy)
			}
		}
		if err := t.write(p.stdout); err != nil {
			return err
		}
	}
	if doctor.Failed(findings) {
		return errors.New("a server cannot run well here, see the lines with fail")
	}
	return nil
}
