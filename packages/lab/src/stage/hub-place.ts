/**
 * The real hub over HTTPS at an address that stays the same, so that it can go away and come back, or be replaced for a
 * while by something else that answers there.
 */
import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { createHub, hubSystem, openSqliteStore } from '@felhom/hub';
import type { Hub } from '@felhom/hub';
import type { HostId } from '@felhom/protocol';
import type { ServerCertificate } from './certificates.ts';

export interface HubPlace {
  readonly url: string;
  /** Where whoever owns the machine of the hub can write what they like. */
  readonly databaseFile: string;
  readonly operatorToken: string;
  readonly hostKey: string;
  /** A token for one more operator, of their own. */
  operatorNamed(name: string): Promise<string>;
  /** Puts an envelope into the mailbox of the host. */
  mail(text: string): Promise<void>;
  /** A link that logs a browser in to read; the token is in the fragment, which no server sees. */
  dashboardLink(): Promise<string>;
  /** Ends the hub: connections are refused. */
  goAway(): Promise<void>;
  /** Something else answers at the address of the hub. */
  replaceBy(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<void>;
  comeBack(): Promise<void>;
  close(): Promise<void>;
}

export interface HubPlaceOptions {
  readonly folder: string;
  readonly tls: ServerCertificate;
  readonly host: HostId;
}

interface RunningHub {
  readonly hub: Hub;
  readonly port: number;
  /** Ends its watch first. */
  close(): Promise<void>;
}

const pollAfterSeconds = 10;

export async function openHubPlace({ folder, tls, host }: HubPlaceOptions): Promise<HubPlace> {
  const file = join(folder, 'hub.db');
  const log = { write: (line: string): void => appendFileSync(join(folder, 'hub.log'), line) };
  /** Watches as the program does. No route is configured: alerts show, nobody is told. */
  const open = async (port: number): Promise<RunningHub> => {
    const store = openSqliteStore(file);
    const hub = createHub({ ...hubSystem, store, tls, log, logLevel: 'warn', pollAfterSeconds });
    const listening = await hub.listen({ host: '127.0.0.1', port });
    const stopping = new AbortController();
    const watching = hub.watch.run(hubSystem.sleep, stopping.signal);
    return {
      hub,
      port: Number(new URL(listening).port),
      async close() {
        stopping.abort();
        await watching;
        await hub.close();
      },
    };
  };
  let running: RunningHub | undefined = await open(0);
  const { token } = await running.hub.createOperator('lab', 'operator');
  const { apiKey } = await running.hub.createHost(host);
  const { port } = running;
  const url = `https://localhost:${port}`;
  let standIn: { close(): Promise<void> } | undefined;
  let browser: { readonly hub: Hub; readonly url: string } | undefined;
  let readers = 0;

  const goAway = async (): Promise<void> => {
    const leaving = [standIn, running];
    standIn = undefined;
    running = undefined;
    for (const one of leaving) await one?.close();
  };
  /** The dashboard for a browser, without TLS as loopback may: no browser knows the authority of this stage. */
  const openForBrowser = async (): Promise<{ readonly hub: Hub; readonly url: string }> => {
    const plain = createHub({ ...hubSystem, store: openSqliteStore(file), pollAfterSeconds });
    return { hub: plain, url: await plain.listen({ host: '127.0.0.1', port: 0 }) };
  };
  return {
    url,
    databaseFile: file,
    operatorToken: token,
    hostKey: apiKey,
    operatorNamed: async (name) => {
      if (running === undefined) throw new Error(`cannot make operator ${name}: the hub is away`);
      return (await running.hub.createOperator(name, 'operator')).token;
    },
    async mail(text) {
      if (running === undefined) throw new Error('cannot mail an envelope: the hub is away');
      const answer = await running.hub.app.inject({
        method: 'POST',
        url: `/v1/hosts/${host}/envelopes`,
        headers: { authorization: `Bearer ${token}` },
        payload: { v: 1, text },
      });
      if (answer.statusCode > 299) throw new Error(`cannot mail an envelope: ${answer.body}`);
    },
    async dashboardLink() {
      browser ??= await openForBrowser();
      readers += 1;
      const reader = await browser.hub.createOperator(`viewer-${readers}-${Date.now()}`, 'reader');
      return `${browser.url}/#token=${reader.token}`;
    },
    goAway,
    async replaceBy(answer) {
      await goAway();
      standIn = await listen(tls, port, answer);
    },
    async comeBack() {
      await goAway();
      running = await open(port);
    },
    async close() {
      await goAway();
      await browser?.hub.close();
    },
  };
}

async function listen(
  tls: ServerCertificate,
  port: number,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ close(): Promise<void> }> {
  const server = createServer(tls, answer);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** A server at a port of its own that is not a hub, for tests. */
export async function serveInstead(
  tls: ServerCertificate,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const server = createServer(tls, answer);
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
