import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressOf, openDatagram } from './datagram.ts';
import { openLogSocket, openSupervisor, recordBytes } from './supervisor.ts';

function recorder() {
  const sent: string[] = [];
  return { sent, open: () => (path: string, body: Uint8Array) => sent.push(`${path} ${String(body)}`) > 0 };
}

test('each word goes to the socket that systemd named, a status as one line', () => {
  const { sent, open } = recorder();
  const supervisor = openSupervisor({ NOTIFY_SOCKET: '/run/n', WATCHDOG_USEC: '4000000', WATCHDOG_PID: '7' }, 7, open);
  supervisor.ready();
  supervisor.progress();
  supervisor.status('degraded: cannot\nREADY=1', {
    config: 'ok',
    journal: 'ok',
    proxmox: 'no',
    localApi: 'off',
    hub: 'unknown',
  });
  supervisor.stopping();
  assert.deepEqual(sent, [
    '/run/n READY=1',
    '/run/n WATCHDOG=1',
    '/run/n STATUS=degraded: cannot READY=1 [config=ok journal=ok proxmox=no local-api=off hub=unknown]',
    '/run/n STOPPING=1',
  ]);
  assert.equal(supervisor.watchdogMs, 4000);
});

test('a watchdog of another process, or none, is not ours', () => {
  const { open } = recorder();
  const of = (env: Record<string, string>) => openSupervisor({ NOTIFY_SOCKET: '/run/n', ...env }, 7, open).watchdogMs;
  assert.equal(of({}), undefined);
  assert.equal(of({ WATCHDOG_USEC: '0' }), undefined);
  assert.equal(of({ WATCHDOG_USEC: 'x' }), undefined);
  assert.equal(of({ WATCHDOG_USEC: '4000000', WATCHDOG_PID: '8' }), undefined);
  assert.equal(of({ WATCHDOG_USEC: '4000000' }), 4000);
});

test('without systemd nothing is opened, let alone sent', () => {
  const open = (): never => assert.fail('opened');
  openSupervisor({}, 7, open).ready();
  assert.equal(openLogSocket({}, { dev: 1, ino: 2 }, open), undefined);
  // Inherited from a terminal that systemd started: this output goes elsewhere.
  assert.equal(openLogSocket({ JOURNAL_STREAM: '1:3' }, { dev: 1, ino: 2 }, open), undefined);
});

test('a record is one line per field, and a value with line ends cannot begin another field', () => {
  const { sent, open } = recorder();
  openLogSocket({ JOURNAL_STREAM: '1:2' }, { dev: 1, ino: 2 }, open)?.({ MESSAGE: 'a', PRIORITY: '3' });
  assert.deepEqual(sent, ['/run/systemd/journal/socket MESSAGE=a\nPRIORITY=3\n']);
  assert.deepEqual(
    recordBytes({ MESSAGE: 'é\nPRIORITY=0' }),
    Buffer.concat([Buffer.from('MESSAGE\n'), Buffer.from([13, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('é\nPRIORITY=0\n')]),
  );
});

test('an address is that of a path, or an abstract name', () => {
  assert.equal(addressOf('/a').toString('latin1'), '\u0001\0/a\0');
  assert.equal(addressOf('@a').toString('latin1'), '\u0001\0\0a');
});

test('this Node can make the socket, and to nobody nothing is sent', { skip: process.platform !== 'linux' }, () => {
  const send = openDatagram();
  assert.ok(send, 'node:ffi is gone: the unit could never become ready');
  assert.equal(send('/nonexistent/socket', Buffer.from('READY=1')), false);
});
