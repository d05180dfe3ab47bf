package coord

import (
	"sync"
	"testing"
	"time"
)

// queueLog hands what is appended to whoever settles it, as the engine's appender
// does.
type queueLog struct{ appends chan int32 }

func (l *queueLog) Append(partition int32, records []Record) { l.appends <- partition }

// await polls as a Deferred does: it is woken when the answer is there.
func await[T any](p *Pending[T]) T {
	woken := make(chan struct{}, 1)
	wake := func() { woken <- struct{}{} }
	for {
		if a, done := p.Poll(wake); done {
			return a
		}
		<-woken
	}
}

// Clients on connections of their own, a log that settles and a clock that ticks
// may call at the same time, and every parked answer wakes whoever waits for it.
func TestConcurrent(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	log := &queueLog{make(chan int32, 1<<10)}
	c, err := New(Options{Settings: Settings{Partitions: 1, InitialRebalanceDelay: -1}, Log: log}, start)
	if err != nil {
		t.Fatal(err)
	}
	c.Loaded(0, start)
	done := make(chan struct{})
	var helpers, clients sync.WaitGroup
	helpers.Go(func() {
		for {
			select {
			case p := <-log.appends:
				c.Settle(p, nil, start)
			case <-done:
				return
			}
		}
	})
	helpers.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				c.Tick(start) // no session ends: the clock stands
			}
		}
	})
	const members, commits = 4, 20
	for range members {
		clients.Go(func() {
			id, committed := "", 0
			for committed < commits {
				a := await(c.Join(&JoinRequest{
					Group: "g", MemberID: id, ClientID: "c", SessionTimeout: 10 * time.Second, RebalanceTimeout: time.Minute,
					ProtocolType: "consumer", Protocols: []Protocol{{"range", nil}}, RequireMemberID: true,
				}, start))
				id = a.MemberID
				if a.Code != None {
					continue
				}
				r := &SyncRequest{Group: "g", MemberID: id, Generation: a.Generation}
				for _, m := range a.Members {
					r.Assignments = append(r.Assignments, Assignment{m.ID, []byte(m.ID)})
				}
				if s := await(c.Sync(r, start)); s.Code != None {
					continue
				}
				for committed < commits && c.Heartbeat(&HeartbeatRequest{Group: "g", MemberID: id, Generation: a.Generation}, start) == None {
					r := &CommitRequest{Group: "g", MemberID: id, Generation: a.Generation, Topics: []CommitTopic{{Topic: "t", Partitions: []CommitPartition{{Offset: 1}}}}}
					if await(c.Commit(r, start)) == None {
						committed++
					}
				}
			}
			c.Leave(&LeaveRequest{Group: "g", Members: []LeavingMember{{MemberID: id}}}, start)
		})
	}
	clients.Wait()
	close(done)
	helpers.Wait()
	if err := c.check(); err != nil {
		t.Error(err)
	}
	if d, _ := c.Describe("g"); d.State != Empty || c.Stats().Commits < members*commits {
		t.Errorf("%+v, %+v", d, c.Stats())
	}
}
