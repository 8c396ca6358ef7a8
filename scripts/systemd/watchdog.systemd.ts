/** Killed when it hangs, left alone when it only has to wait. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { configure, pinned, watchdogOf } from './configuration.ts';
import { bootContainer, install } from './container.ts';
import type { Container } from './container.ts';
import { silentServer } from './stand-ins.ts';

const agent = 'felhom-agent.service';

async function start(container: Container, watchdogSeconds: number): Promise<void> {
  await watchdogOf(container, watchdogSeconds);
  await container.must('systemctl', 'start', 'felhom-root.socket', agent);
}

/** By systemd's own lines in the journal. */
async function restarted(container: Container, pid: string): Promise<{ readonly killToReadyMs: number }> {
  await container.until('another process is ready', async () => {
    const [now, state] = [await container.show(agent, 'MainPID'), await container.show(agent, 'ActiveState')];
    return now !== pid && now !== '0' && state === 'active';
  });
  const lines = (await container.must('journalctl', '-o', 'short-unix', '-u', agent)).split('\n');
  const lastAt = (pattern: RegExp): number => Number.parseFloat(lines.findLast((line) => pattern.test(line)) ?? 'NaN');
  const killToReadyMs = Math.round((lastAt(/Started felhom-agent/) - lastAt(/Watchdog timeout/)) * 1000);
  assert.ok(killToReadyMs > 0, lines.slice(-20).join('\n'));
  return { killToReadyMs };
}

/**
 * A file system whose server answers nothing, like that of a dead NAS: FUSE without anybody at the other end. Lies on the
 * folder of desired state until `let go`.
 */
async function hangDesired(container: Container): Promise<() => Promise<void>> {
  await container.must('sh', '-c', '[ -e /dev/fuse ] || mknod -m 666 /dev/fuse c 10 229');
  const mount = 'mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0,allow_other silent /srv/desired';
  await container.must(
    'systemd-run',
    '--quiet',
    '--unit=silent-share',
    'sh',
    '-c',
    `exec 9<>/dev/fuse; ${mount} && sleep 1000`,
  );
  // Nothing may look at it: whoever does waits for ever.
  await container.until('it is mounted', async () =>
    (await container.must('cat', '/proc/self/mountinfo')).includes(' /srv/desired '),
  );
  return async () => {
    // Its end of the connection goes, and with it every call that waits.
    await container.must('systemctl', 'kill', '--signal=SIGKILL', 'silent-share');
    await container.must('umount', '-l', '/srv/desired');
  };
}

describe('the watchdog', { concurrency: true }, () => {
  test('a process that stands still is killed and comes back', async (t) => {
    const container = await bootContainer(t, 'stopped');
    await install(container);
    await configure(container);
    await start(container, 4);
    const pid = await container.show(agent, 'MainPID');
    const from = performance.now();
    await container.must('kill', '-STOP', pid);
    const { killToReadyMs } = await restarted(container, pid);
    t.diagnostic(
      `WatchdogSec=4: stop to ready ${((performance.now() - from) / 1000).toFixed(1)} s, kill to ready ${killToReadyMs} ms`,
    );
    assert.equal(await container.show(agent, 'NRestarts'), '1');
    // Ready comes before the node was asked.
    await container.until('it says what it lacks', async () =>
      /^degraded: cannot .*ECONNREFUSED/.test(await container.show(agent, 'StatusText')),
    );
  });

  test('a pass that never ends is killed after ten watchdogs, though the event loop is well', async (t) => {
    const container = await bootContainer(t, 'hung');
    await install(container);
    await configure(container);
    await container.write('/srv/desired/state.yaml', JSON.stringify({ v: 1, guests: [] }));
    await start(container, 3);
    const pid = await container.show(agent, 'MainPID');
    const letGo = await hangDesired(container);
    const from = performance.now();
    await container.until('a watchdog passes', async () => performance.now() - from > 6_000);
    assert.equal(await container.show(agent, 'MainPID'), pid, 'it is fed while its patience lasts');
    // The admin socket answers: nothing is wrong with the event loop.
    assert.equal(
      (
        await container.run([
          'perl',
          '-MIO::Socket::UNIX',
          '-e',
          'my $s = IO::Socket::UNIX->new(Peer => "/run/felhom/agent.sock") or die; print $s "GET /v1/version HTTP/1.0\\r\\n\\r\\n"; print scalar <$s>',
        ])
      ).stdout,
      'HTTP/1.1 200 OK\r\n',
    );
    await container.until(
      'it says that it hangs',
      async () =>
        (await container.run(['journalctl', '-o', 'cat', '-u', agent, 'FELHOM_LOOP=reconcile'])).stdout !== '',
    );
    const hungFor = performance.now() - from;
    // Once it is let go it would move again.
    await container.until(
      'it is killed',
      async () =>
        (await container.run(['journalctl', '-o', 'cat', '-u', agent, '--grep', 'Watchdog timeout'])).code === 0,
    );
    await letGo();
    const { killToReadyMs } = await restarted(container, pid);
    t.diagnostic(
      `WatchdogSec=3: fed no more after ${(hungFor / 1000).toFixed(1)} s, kill to ready ${killToReadyMs} ms`,
    );
  });

  test('a node and a hub that never answer are no hang', async (t) => {
    const container = await bootContainer(t, 'silent');
    await install(container);
    for (const port of [8006, 8470]) await container.must('systemd-run', '--quiet', ...silentServer(port));
    await configure(container, {
      desired: {
        hub: { url: 'https://127.0.0.1:8470', keyFile: '/run/credentials/felhom-agent.service/hub-key', trust: pinned },
      },
    });
    await start(container, 3);
    const pid = await container.show(agent, 'MainPID');
    const from = performance.now();
    await container.until('twelve watchdogs pass', async () => performance.now() - from > 36_000);
    assert.deepEqual([await container.show(agent, 'MainPID'), await container.show(agent, 'NRestarts')], [pid, '0']);
    const said = await container.must('journalctl', '-o', 'cat', '-u', agent);
    assert.doesNotMatch(said, /hung/);
    assert.match(said, /hub failed code=hub\.timeout/);
  });
});
