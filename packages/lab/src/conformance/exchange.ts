/** Recorded exchanges: arrays of calls with their answers, and notes of what was done on the host in between. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const headersSchema = z.record(z.string(), z.string());

const exchangeSchema = z.object({
  as: z.string(),
  method: z.string(),
  /** Below `/api2/json`; with a leading `!` the whole path. */
  path: z.string(),
  params: z.record(z.string(), z.unknown()).nullable(),
  status: z.number(),
  reason: z.string(),
  headers: headersSchema,
  body: z.unknown(),
  elapsed_ms: z.number(),
  note: z.string().optional(),
  request_headers: headersSchema.optional(),
  request_content_type: z.string().optional(),
});

/** A request and answer as text, head and body, from a raw socket. */
const rawSchema = z.object({ note: z.string(), request: z.string(), response: z.string() });

const noteSchema = z.object({ note: z.string() });

export type Exchange = z.infer<typeof exchangeSchema>;
export type RawExchange = z.infer<typeof rawSchema>;

export type Item =
  | { readonly is: 'call'; readonly call: Exchange }
  | { readonly is: 'raw'; readonly raw: RawExchange }
  | { readonly is: 'note'; readonly note: string };

export interface Recording {
  /** `05-restore-with-token.json` */
  readonly file: string;
  readonly items: readonly Item[];
}

/** Reads `NN-*.json` of a directory in the order in which they were recorded; `only` picks one NN. */
export function readRecordings(directory: string, only?: string): Recording[] {
  return readdirSync(directory)
    .filter((file) => /^\d+.*\.json$/.test(file))
    .sort()
    .filter((file) => only === undefined || file.startsWith(`${only}-`) || file === only)
    .map((file) => {
      const content: unknown = JSON.parse(readFileSync(join(directory, file), 'utf8'));
      return { file, items: z.array(z.unknown()).parse(content).map(parseItem) };
    })
    .sort((a, b) => firstAnswer(a) - firstAnswer(b));
}

/** Recordings are numbered by subject; what one leaves behind the next in time finds. */
function firstAnswer({ items }: Recording): number {
  const times = items.flatMap((item) => (item.is === 'call' ? [answeredAt(item.call)] : []));
  return times.find((time) => !Number.isNaN(time)) ?? 0;
}

/** The first answer, milliseconds since the epoch. */
export function beganAt({ items }: Pick<Recording, 'items'>): number {
  const times = items.flatMap((item) => (item.is === 'call' ? [answeredAt(item.call)] : []));
  return Math.min(...times.filter((time) => !Number.isNaN(time)), Number.MAX_SAFE_INTEGER);
}

function parseItem(value: unknown): Item {
  const call = exchangeSchema.safeParse(value);
  if (call.success) return { is: 'call', call: call.data };
  const raw = rawSchema.safeParse(value);
  if (raw.success) return { is: 'raw', raw: raw.data };
  return { is: 'note', note: noteSchema.parse(value).note };
}

/** Path without a query, percent-decoding left alone. */
export function barePath(call: Exchange): string {
  return call.path.split('?', 1)[0] ?? '';
}

export function queryOf(call: Exchange): string {
  const at = call.path.indexOf('?');
  return at < 0 ? '' : call.path.slice(at + 1);
}

/** `data` of a JSON answer. */
export function dataOf(call: Exchange): unknown {
  const body = call.body;
  return isRecord(body) ? body['data'] : undefined;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** When the answer was sent, milliseconds since the epoch (whole seconds). */
export function answeredAt(call: Exchange): number {
  return Date.parse(call.headers['date'] ?? '');
}
