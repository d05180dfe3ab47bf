package contestant

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// KafkaVersion is the Apache Kafka that the lab compares with. compat/java/pom.xml,
// by which its jars are fetched, says the same.
const KafkaVersion = "4.3.1"

// kafkaPOM is what Maven fetches by, below the module's root.
const kafkaPOM = "compat/java/pom.xml"

// fetchedFile is in the directory of the jars when all of them are.
const fetchedFile = ".fetched"

// KafkaInstall is Kafka's jars and the Java to run them.
type KafkaInstall struct {
	Lib  string // directory of the jars
	Java string // program
	Heap string // of the broker, as -Xms and -Xmx have it: 1g
}

// DefaultKafkaLib is where the jars are unless Options.KafkaLib says otherwise: in
// the user's cache, where `make compat-java` has them too.
func DefaultKafkaLib() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "rollway", "kafka-"+KafkaVersion), nil
}

// FindKafka looks for Java and for the jars.
//
// Errors: *UnavailableError if there is no Java, or no jars.
func FindKafka(o Options) (KafkaInstall, error) {
	i := KafkaInstall{Lib: o.KafkaLib, Heap: o.Heap}
	if i.Heap == "" {
		i.Heap = "1g" // as kafka-server-start.sh has it
	}
	var err error
	if i.Lib == "" {
		if i.Lib, err = DefaultKafkaLib(); err != nil {
			return i, err
		}
	}
	if i.Java, err = findJava(); err != nil {
		return i, &UnavailableError{Name: Kafka, Lacks: err.Error(), Remedy: "install Java 17 or later and Maven (Debian: openjdk-17-jre-headless, maven)"}
	}
	if _, err := os.Stat(filepath.Join(i.Lib, "kafka_2.13-"+KafkaVersion+".jar")); err != nil {
		return i, &UnavailableError{Name: Kafka, Lacks: "no jars of Apache Kafka " + KafkaVersion + " in " + i.Lib, Remedy: "run scripts/kafka fetch"}
	}
	return i, nil
}

// findJava is JAVA_HOME's, or the one of PATH, as Kafka's own scripts choose it.
func findJava() (string, error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		java := filepath.Join(home, "bin", "java")
		_, err := os.Stat(java)
		return java, err
	}
	return exec.LookPath("java")
}

// FetchKafka fetches the jars by Maven, unless they are there, and finds them. It
// needs a network, so call it before entering a namespace that has none. What
// Maven says goes into the error.
//
// Errors: *UnavailableError if there is no Java, no Maven, or nothing to be had.
func FetchKafka(ctx context.Context, o Options) (KafkaInstall, error) {
	i, err := FindKafka(o)
	if err == nil && fetched(i.Lib) {
		return i, nil
	}
	if i.Java == "" {
		return i, err
	}
	root := o.Source
	if root == "" {
		if root, err = moduleRoot(ctx); err != nil {
			return i, err
		}
	}
	maven, err := exec.LookPath("mvn")
	if err != nil {
		return i, &UnavailableError{Name: Kafka, Lacks: err.Error(), Remedy: "install Maven (Debian: maven)"}
	}
	cmd := exec.CommandContext(ctx, maven, "-q", "-B", "-f", filepath.Join(root, kafkaPOM), "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+i.Lib)
	if out, err := cmd.CombinedOutput(); err != nil {
		text := strings.TrimSpace(string(out))
		return i, &UnavailableError{Name: Kafka, Lacks: fmt.Sprintf("%s: %v: %s", strings.Join(cmd.Args, " "), err, lastLines(text, 5))}
	}
	if err := os.WriteFile(filepath.Join(i.Lib, fetchedFile), nil, 0o644); err != nil {
		return i, err
	}
	return FindKafka(o)
}

func fetched(lib string) bool {
	_, err := os.Stat(filepath.Join(lib, fetchedFile))
	return err == nil
}

// moduleRoot is the directory of the go.mod that the go command would use.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if file == "" || file == os.DevNull {
		return "", errors.New("no go.mod here or above, want to be run in rollway's source")
	}
	return filepath.Dir(file), nil
}

// lastLines returns the last count lines of a text.
func lastLines(text string, count int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}

// command is java with flags, Kafka's jars, a class and its arguments. Only what is
// at least a warning is logged, to standard error.
func (i KafkaInstall) command(flags []string, class string, args ...string) command {
	all := append([]string(nil), flags...)
	all = append(all, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", filepath.Join(i.Lib, "*"), class)
	return command{program: i.Java, args: append(all, args...)}
}

// javaVersion is the first line of java -version.
func (i KafkaInstall) javaVersion(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, i.Java, "-version").CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s -version: %v", i.Java, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.TrimSpace(lines[min(1, len(lines)-1)]) // the second names the build
}
