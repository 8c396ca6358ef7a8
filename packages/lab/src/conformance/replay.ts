/** Replays recordings against one fake node in memory and compares every answer. */
import { bodyLimit } from '../fake-pve/api/form.ts';
import { textOf, type ApiResponse } from '../fake-pve/core.ts';
import { decodeUpid } from '../fake-pve/tasks/upid.ts';
import {
  answeredAt,
  barePath,
  dataOf,
  isRecord,
  queryOf,
  type Exchange,
  type Item,
  type Recording,
} from './exchange.ts';
import { futureOf, type TaskFuture } from './foresight.ts';
import { actBefore, actOnNote } from './host-actions.ts';
import { createNames, differences, sameText, translate, type Difference, type Names } from './normalise.ts';
import { whyNotApplicable } from './not-applicable.ts';
import { followAnswer, prepareWorld } from './teacher.ts';
import type { Bench } from './bench.ts';
import { remakeGolden } from './world.ts';

export type Verdict =
  | { readonly is: 'passed' }
  | { readonly is: 'not-applicable'; readonly reason: string }
  | { readonly is: 'failed'; readonly reasons: readonly string[] };

export interface Outcome {
  readonly file: string;
  readonly index: number;
  readonly what: string;
  readonly verdict: Verdict;
}

interface HeldTask {
  readonly upid: string;
  readonly future: TaskFuture;
}

interface Run {
  readonly bench: Bench;
  readonly names: Names;
  readonly items: readonly Item[];
  held: HeldTask[];
  /** Answers to calls that went out before their turn. */
  readonly sent: Map<number, Promise<ApiResponse>>;
}

/** The whole replay, in the order given. The bench keeps its state from one recording to the next. */
export async function replay(bench: Bench, recordings: readonly Recording[]): Promise<Outcome[]> {
  const names = createNames();
  const outcomes: Outcome[] = [];
  for (const { items } of recordings)
    for (const item of items) {
      const started = item.is === 'call' ? startedTask(item.call) : undefined;
      if (started !== undefined) bench.startedUpids.add(started.upid);
    }
  for (const [n, { file, items }] of recordings.entries()) {
    const later = recordings.slice(n + 1).flatMap((recording) => recording.items);
    const run: Run = { bench, names, items, held: [], sent: new Map() };
    await prepareWorld(bench, items, later, names);
    for (const [index, item] of items.entries()) {
      if (item.is === 'note') {
        await actOnNote(bench, item.note, items, index, names);
        continue;
      }
      const what =
        item.is === 'call' ? `${item.call.as} ${item.call.method} ${item.call.path}` : `socket: ${item.raw.note}`;
      const verdict = item.is === 'call' ? await replayCall(run, item.call, index) : await replayRaw(run, item.raw);
      outcomes.push({ file, index, what, verdict });
    }
    for (const task of run.held) await finish(run, task);
  }
  return outcomes;
}

async function replayCall(run: Run, call: Exchange, index: number): Promise<Verdict> {
  const { bench, names, items } = run;
  const reason = whyNotApplicable(barePath(call));
  if (reason !== undefined) return { is: 'not-applicable', reason };

  if (call.status === 596)
    return { is: 'not-applicable', reason: 'the recorded proxy gave up waiting: the machine hung' };

  await moveClock(run, call);
  for (const task of run.held.filter(({ future }) => (future.endsBefore ?? Infinity) <= index)) {
    if (task.future.how === 'aborted') run.held = run.held.filter((other) => other !== task);
    else await finish(run, task);
  }
  await actBefore(bench, call, items, index, names);
  await learnDigest(bench, call, names);
  noteGivenMacs(call, names);

  const started = startedTask(call);
  const future = started === undefined ? undefined : futureOf(started.upid, items, index);
  if (started !== undefined && future?.endsBefore !== undefined)
    bench.node.tasks.trap({ type: started.type, id: started.id, action: 'stall', ...heldAt(started.type) });

  const answer = await settle(run, call, send(run, call, index));

  const ours = isRecord(answer.body) ? answer.body['data'] : undefined;
  if (started !== undefined && typeof ours === 'string' && decodeUpid(ours) !== undefined) {
    names.learned.set(started.upid, ours);
    if (future?.endsBefore !== undefined) run.held.push({ upid: ours, future });
  }

  const found = compareAnswers(call, answer, names);
  await followAnswer(bench, call, found, names);
  return found.length === 0 ? { is: 'passed' } : { is: 'failed', reasons: found.map(explain) };
}

/** A digest that was accepted and that no answer has shown, was that of the thing as it is. */
async function learnDigest({ node, clock }: Bench, call: Exchange, names: Names): Promise<void> {
  const digest = call.params?.['digest'];
  if (call.method !== 'PUT' || call.status !== 200 || typeof digest !== 'string' || names.learned.has(digest)) return;
  const { body } = await clock.runUntil(node.handle({ method: 'GET', path: barePath(call), as: 'root@pam' }));
  const data = isRecord(body) ? body['data'] : undefined;
  if (isRecord(data) && typeof data['digest'] === 'string') names.learned.set(digest, data['digest']);
}

/** Where a long task was when somebody looked at it: at its bulk work, everything before took no time. */
function heldAt(type: string): { atLine?: RegExp } {
  if (type === 'vzdump') return { atLine: /creating (vzdump|Proxmox Backup Server) archive/ };
  return type === 'vzrestore' || type === 'vzcreate' ? { atLine: /^extracting archive/ } : {};
}

/** Sends a call; those that were sent at the same moment go out together. */
function send(run: Run, call: Exchange, index: number): Promise<ApiResponse> {
  const { bench, names, items, sent } = run;
  const already = sent.get(index);
  if (already !== undefined) return already;
  const first = bench.node.wire(wireRequest(bench, call, names));
  if (/^one of \w+ concurrent/.test(call.note ?? ''))
    for (const [n, item] of items.entries())
      if (n > index && item.is === 'call' && item.call.note === call.note && item.call.method === call.method)
        sent.set(n, bench.node.wire(wireRequest(bench, item.call, names)));
  return first;
}

/** Waits for the answer; a call that waited in the recording too lets go of what it waited for. */
async function settle(run: Run, call: Exchange, pending: Promise<ApiResponse>): Promise<ApiResponse> {
  const { clock } = run.bench;
  let done = false;
  const mark = (): void => void (done = true);
  pending.then(mark, mark);
  await clock.settle();
  if (!done && call.status === 200 && call.elapsed_ms > 500)
    for (const task of run.held.filter(({ future }) => future.how === 'by-itself')) await finish(run, task);
  return clock.runUntil(pending, 120_000);
}

/** Lets a held task end the way it ended in the recording. */
async function finish(run: Run, task: HeldTask): Promise<void> {
  const { node, clock } = run.bench;
  run.held = run.held.filter((other) => other !== task);
  if (task.future.how === 'killed') return node.tasks.kill(task.upid);
  // It may not even have come to the line where it was to be held.
  node.tasks.clearTraps();
  node.tasks.release(task.upid);
  node.tasks.clearTraps();
  await clock.runUntil(Promise.race([node.tasks.settled(task.upid), clock.sleep(60_000)]));
}

/** The clock of the node follows the clock of the recording, never backwards. */
async function moveClock({ bench }: Run, call: Exchange): Promise<void> {
  const upid = startedTask(call);
  const waited = call.elapsed_ms < 1000 ? 0 : call.elapsed_ms;
  const recorded = upid === undefined ? answeredAt(call) - waited : upid.starttime * 1000;
  const { clock } = bench;
  await clock.settle();
  if (recorded > clock.now()) await clock.advance(recorded - clock.now());
  remakeGolden(bench);
}

function startedTask(call: Exchange): { upid: string; type: string; id: string; starttime: number } | undefined {
  const data = dataOf(call);
  if (call.method === 'GET' || typeof data !== 'string') return undefined;
  const parts = decodeUpid(data);
  return parts === undefined ? undefined : { upid: data, type: parts.type, id: parts.id, starttime: parts.starttime };
}

function wireRequest(bench: Bench, call: Exchange, names: Names): Parameters<Bench['node']['wire']>[0] {
  const path = translate(call.path.startsWith('!') ? call.path.slice(1) : `/api2/json${barePath(call)}`, names);
  const params = call.params === null ? undefined : call.params;
  const json =
    call.request_content_type === 'application/json' || call.request_headers?.['Content-Type'] === 'application/json';
  const inQuery = call.method === 'GET' || call.method === 'DELETE';
  const form = params === undefined ? '' : encodeForm(params, names);
  const query = [queryOf(call), inQuery ? form : ''].filter((part) => part !== '').join('&');
  const brokenJson = json && params === undefined ? '{"cores":' : undefined;
  const body = inQuery ? '' : (brokenJson ?? (json ? translate(JSON.stringify(params), names) : form));
  const given = Object.fromEntries(
    Object.entries(call.request_headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]),
  );
  const plainText = given['content-type'] === 'text/plain';
  return {
    method: call.method,
    target: `${path}${query === '' ? '' : `?${query}`}`,
    headers: {
      ...bench.credentials(call.as, call.method, given),
      'content-type': given['content-type'] ?? (json ? 'application/json' : 'application/x-www-form-urlencoded'),
    },
    body: plainText && body === '' ? 'text' : body,
  };
}

function encodeForm(params: Readonly<Record<string, unknown>>, names: Names): string {
  return Object.entries(params)
    .flatMap(([key, value]) => (Array.isArray(value) ? value : [value]).map((one: unknown) => [key, one] as const))
    .map(([key, value]) => {
      const text = translate(value === true ? '1' : value === false ? '0' : textOf(value), names);
      return `${encodeURIComponent(key)}=${encodeURIComponent(text)}`;
    })
    .join('&');
}

function compareAnswers(call: Exchange, answer: ApiResponse, names: Names): Difference[] {
  const found: Difference[] = [];
  if (call.status !== answer.status || !sameText(call.reason, answer.reason, names))
    found.push({ at: 'status', recorded: `${call.status} ${call.reason}`, ours: `${answer.status} ${answer.reason}` });
  if (call.status !== answer.status) {
    const message = isRecord(answer.body) ? JSON.stringify(answer.body['errors'] ?? '') : '';
    if (message !== '""') found.push({ at: 'errors', recorded: undefined, ours: message });
    return found;
  }
  const path = decodeURIComponent(barePath(call));
  const parameters = call.params ?? {};
  const named = path === '/pools' && parameters['poolid'] !== undefined ? '/pools' : path;
  return [...found, ...differences(named, call.body ?? null, answer.body ?? null, names)];
}

function noteGivenMacs(call: Exchange, names: Names): void {
  for (const mac of JSON.stringify(call.params ?? {}).match(/\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b/gi) ?? [])
    if (!names.learned.has(mac.toUpperCase())) names.given.add(mac.toUpperCase());
}

function explain({ at, recorded, ours }: Difference): string {
  const show = (value: unknown): string => (value === undefined ? '(absent)' : JSON.stringify(value)).slice(0, 1500);
  return `${at}: recorded ${show(recorded)}, ours ${show(ours)}`;
}

/** Requests written down as text: head and body as they went over the socket. */
async function replayRaw(
  run: Run,
  raw: { readonly note: string; readonly request: string; readonly response: string },
): Promise<Verdict> {
  const [head = '', body = ''] = raw.request.split('\r\n\r\n');
  const [line = '', ...headerLines] = head.split('\r\n');
  const [method = '', target, version] = line.split(' ');
  if (target === undefined || version !== 'HTTP/1.1' || raw.response.startsWith('HTTP/1.1 301'))
    return { is: 'not-applicable', reason: 'below the API: the socket, tested with the HTTPS server' };
  const headers = Object.fromEntries(
    headerLines.map((header) => {
      const [name = '', ...value] = header.split(': ');
      return [name.toLowerCase(), value.join(': ')];
    }),
  );
  const token = /PVEAPIToken=(.+)=<secret>/.exec(headers['authorization'] ?? '')?.[1];
  const answer = await run.bench.node.wire({
    method,
    target,
    headers: { ...headers, ...(token === undefined ? {} : run.bench.credentials(token, method, {})) },
    body: Number(headers['content-length'] ?? 0) > bodyLimit ? '' : body,
  });
  const [recordedHead = '', recordedBody = ''] = raw.response.split('\r\n\r\n');
  const [, status = '', reason = ''] = /^\S+ (\d+) (.*)$/.exec(recordedHead.split('\r\n', 1)[0] ?? '') ?? [];
  const found: Difference[] = [];
  if (Number(status) !== answer.status || !sameText(reason, answer.reason, run.names))
    found.push({ at: 'status', recorded: `${status} ${reason}`, ours: `${answer.status} ${answer.reason}` });
  const recordedValue: unknown = recordedBody.startsWith('{')
    ? JSON.parse(recordedBody)
    : recordedBody === ''
      ? null
      : recordedBody;
  found.push(...differences(target, recordedValue, answer.body ?? null, run.names));
  return found.length === 0 ? { is: 'passed' } : { is: 'failed', reasons: found.map(explain) };
}
