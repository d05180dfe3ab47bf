package wire

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rollway/rollway/internal/golden"
)

// protocolPath is the specification of the protocol.
const protocolPath = "../docs/protocol.md"

// limitValues has the value of each constant of limits.go as the specification
// shows it.
var limitValues = map[string]any{
	"DefaultMaxFrame":    DefaultMaxFrame,
	"MaxFrameCap":        MaxFrameCap,
	"MinMaxFrame":        MinMaxFrame,
	"MaxHelloFrame":      MaxHelloFrame,
	"FrameOverhead":      FrameOverhead,
	"MaxTopicName":       MaxTopicName,
	"MaxName":            MaxName,
	"MaxMechanism":       MaxMechanism,
	"MaxAuth":            MaxAuth,
	"MaxConfigs":         MaxConfigs,
	"MaxConfigValue":     MaxConfigValue,
	"MaxGroupString":     MaxGroupString,
	"MaxErrorText":       MaxErrorText,
	"DefaultMaxInFlight": DefaultMaxInFlight,
	"DefaultMaxCredit":   DefaultMaxCredit,
	"DefaultIdleTimeout": fmt.Sprintf("%d ms", DefaultIdleTimeout.Milliseconds()),
}

// The generated parts of the specification are what the code says: the layout
// above each encoder, the golden frames, the codes and the limits. A generated
// part stands between a comment that names it and an end comment; each there
// is must be in the specification.
func TestProtocolDocument(t *testing.T) {
	parts := map[string]string{"codes": codeTable(t), "limits": limitTable(t)}
	for name, layout := range layouts(t) {
		parts["layout "+name] = "```text\n" + layout + "```\n"
	}
	for _, s := range samples() {
		parts["golden "+s.name] = "```text\n" + string(s.dump()) + "```\n"
	}
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".golden"); parts["golden "+name] == "" {
			t.Errorf("%s: no sample has this name", file)
		}
	}

	document, err := os.ReadFile(protocolPath)
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	part := regexp.MustCompile(`(?s)<!-- generated: ([^>]*) -->\n.*?<!-- end -->\n`)
	document = part.ReplaceAllFunc(document, func(old []byte) []byte {
		name := string(part.FindSubmatch(old)[1])
		text, ok := parts[name]
		if !ok {
			t.Errorf("%s: generated part %q, which nothing generates", protocolPath, name)
			return old
		}
		used[name] = true
		return []byte("<!-- generated: " + name + " -->\n" + text + "<!-- end -->\n")
	})
	for name := range parts {
		if !used[name] {
			t.Errorf("%s: no part %q", protocolPath, name)
		}
	}
	for kind, name := range kindNames {
		if row := fmt.Sprintf("| 0x%02x | %s |", uint8(kind), name); !bytes.Contains(document, []byte(row)) {
			t.Errorf("%s: no row %q in the table of kinds", protocolPath, row)
		}
	}
	golden.CheckFile(t, protocolPath, document)
}

// parseFile returns the syntax of a source file of this package.
func parseFile(t *testing.T, name string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// eachSpec calls f for each type or constant of a source file, with the
// comment above it.
func eachSpec(file *ast.File, f func(spec ast.Spec, doc string)) {
	for _, decl := range file.Decls {
		d, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range d.Specs {
			doc := d.Doc
			if v, ok := spec.(*ast.ValueSpec); ok && v.Doc != nil {
				doc = v.Doc
			}
			f(spec, doc.Text())
		}
	}
}

// layouts returns the byte table in the comment of each type that has one.
func layouts(t *testing.T) map[string]string {
	t.Helper()
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, source := range sources {
		eachSpec(parseFile(t, source), func(spec ast.Spec, doc string) {
			typ, ok := spec.(*ast.TypeSpec)
			_, table, tabled := strings.Cut(doc, "\n\tat  len  field\n")
			if !ok || !tabled {
				return
			}
			layout := "at  len  field\n"
			for line := range strings.Lines(table) {
				row, ok := strings.CutPrefix(line, "\t")
				if !ok {
					break
				}
				layout += row
			}
			found[typ.Name.Name] = layout
		})
	}
	return found
}

// codeTable lists all codes with the comments behind them.
func codeTable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| code | name | retryable | in doubt | meaning |\n|---|---|---|---|---|\n")
	code := Code(0)
	eachSpec(parseFile(t, "errors.go"), func(spec ast.Spec, _ string) {
		v, ok := spec.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(v.Names[0].Name, "Code") {
			return
		}
		code++
		if value := v.Values[0].(*ast.BasicLit).Value; value != fmt.Sprint(uint16(code)) {
			t.Errorf("%s is %s, want %d, the next", v.Names[0].Name, value, code)
		}
		word := map[bool]string{true: "yes", false: "no"}
		fact := codes[code]
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s |\n", code, fact.name, word[fact.retryable], word[fact.inDoubt], strings.TrimSpace(v.Comment.Text()))
	})
	if int(code) != len(codes) {
		t.Errorf("%d constants for %d codes", code, len(codes))
	}
	return b.String()
}

// limitTable lists the constants of limits.go with the comments above them.
func limitTable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| name | value | meaning and reason |\n|---|---|---|\n")
	rows := 0
	eachSpec(parseFile(t, "limits.go"), func(spec ast.Spec, doc string) {
		v, ok := spec.(*ast.ValueSpec)
		if !ok {
			return
		}
		name := v.Names[0].Name
		value, ok := limitValues[name]
		if !ok || doc == "" {
			t.Errorf("limits.go: %s has no value in limitValues or no comment", name)
		}
		fmt.Fprintf(&b, "| %s | %v | %s |\n", name, value, strings.Join(strings.Fields(doc), " "))
		rows++
	})
	if rows != len(limitValues) {
		t.Errorf("%d constants in limits.go, want %d", rows, len(limitValues))
	}
	return b.String()
}
