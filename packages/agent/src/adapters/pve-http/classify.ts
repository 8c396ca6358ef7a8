/**
 * Every answer of Proxmox, and of whatever may stand in its place, sorted once into the error catalogue. Pure.
 *
 * `refused` is proven: the world is as it was before. For a write everything else is `unknown`, connection refused
 * included: nothing was sent then, but a saga should wait out a restart of pveproxy rather than unwind because of it.
 */
import { reason } from '@felhom/protocol';
import type { ErrorCode, Reason } from '@felhom/protocol';
import { messageRules, parameterRules } from './texts.ts';
import type { TextRule, WriteKind } from './texts.ts';
import type { RawAnswer, TransportFailure, WholeAnswer } from './transport.ts';

export interface CallFacts {
  /** "restore CT 9001": goes into "cannot … : reason". */
  readonly what: string;
  readonly kind: 'read' | WriteKind;
}

export type Classified =
  | { readonly is: 'ok'; readonly data: unknown; readonly total: number | undefined }
  | { readonly is: 'refused'; readonly why: Reason }
  | { readonly is: 'unknown'; readonly why: Reason };

export function classify(call: CallFacts, raw: RawAnswer): Classified {
  if (raw.is === 'failed') return classifyFailure(call, raw.failure);
  const { answer } = raw;
  const payload = parsePayload(answer);
  if (answer.status === 200) {
    if (payload.is === 'data') return { is: 'ok', data: payload.data, total: payload.total };
    return open(call, payload.is === 'broken' ? 'pve.unreadable-answer' : 'pve.not-proxmox', describe(answer));
  }
  const text = payload.is === 'data' && payload.message !== undefined ? payload.message : clean(answer.reason);
  const errors = payload.is === 'data' ? payload.errors : {};
  return classifyStatus(call, answer, text, errors);
}

function classifyStatus(
  call: CallFacts,
  answer: WholeAnswer,
  text: string,
  errors: Readonly<Record<string, string>>,
): Classified {
  const said = text === '' ? `status ${answer.status}` : text;
  switch (answer.status) {
    case 400:
      return classify400(call, said, errors);
    case 401:
      return proven(call, 'pve.unauthorized', `Proxmox answered 401 (${said})`);
    case 403:
      return proven(call, forbiddenCode(said), said);
    case 500:
      return byText(call, messageRules, stripDefinitionPrefix(said), said, errors);
    case 501:
      return proven(call, /not (?:implemented|available)/.test(said) ? 'pve.not-implemented' : 'pve.protocol', said);
    case 506:
      return proven(call, 'pve.protocol', said);
    case 595:
      return open(call, 'pve.node-unreachable', `pveproxy could not reach the node (595 ${said})`);
    case 596:
      return open(call, 'pve.timeout', `pveproxy gave up waiting (596 ${said}); the work may go on`);
    case 599:
    case 502:
    case 503:
    case 504:
      return open(call, 'pve.proxy-failed', `status ${answer.status} ${said}`);
    default:
      return open(call, 'pve.not-proxmox', describe(answer));
  }
}

/** A 400 with `errors` names parameters; one without comes from a broken request or from a handler. */
function classify400(call: CallFacts, said: string, errors: Readonly<Record<string, string>>): Classified {
  const detail = Object.entries(errors)
    .map(([key, text]) => `${key}: ${text}`)
    .join('; ');
  if (detail === '') {
    const rule = messageRules.find((candidate) => candidate.match.test(said));
    if (rule !== undefined) return settle(call, rule, said);
    return /^bad request/i.test(said)
      ? proven(call, 'pve.protocol', said)
      : proven(call, 'pve.invalid-parameter', said);
  }
  for (const text of Object.values(errors)) {
    const rule = parameterRules.find((candidate) => candidate.match.test(text));
    if (rule !== undefined) return settle(call, rule, detail);
  }
  return proven(call, 'pve.invalid-parameter', detail);
}

function byText(
  call: CallFacts,
  rules: readonly TextRule[],
  text: string,
  said: string,
  errors: Readonly<Record<string, string>>,
): Classified {
  const rule = rules.find((candidate) => candidate.match.test(text));
  if (rule === undefined) return open(call, 'pve.unclassified', said);
  const detail = Object.entries(errors).map(([key, value]) => `${key}: ${value}`);
  return settle(call, rule, [said, ...detail].join('; '));
}

function settle(call: CallFacts, rule: TextRule, text: string): Classified {
  const { kind } = call;
  const isProven = kind === 'read' || rule.proof === 'always' || (rule.proof !== 'never' && rule.proof.includes(kind));
  return isProven ? proven(call, rule.code, text) : open(call, rule.code, text);
}

const untrusted = {
  untrusted: 'pve.certificate-untrusted',
  expired: 'pve.certificate-expired',
  'not-yet-valid': 'pve.certificate-not-yet-valid',
  'pin-mismatch': 'pve.pin-mismatch',
} as const satisfies Record<Extract<TransportFailure, { is: 'untrusted' }>['why'], ErrorCode>;

function classifyFailure(call: CallFacts, failure: TransportFailure): Classified {
  switch (failure.is) {
    case 'untrusted':
      return proven(call, untrusted[failure.why], failure.text);
    case 'not-sent':
      return open(call, 'pve.unreachable', failure.text);
    case 'lost':
      return open(call, 'pve.connection-lost', failure.text);
    case 'timeout':
      return open(call, 'pve.timeout', `no answer within ${failure.afterMs / 1000} s`);
    case 'too-large':
      return open(call, 'pve.answer-too-large', `the answer is longer than ${failure.limitBytes} bytes`);
    case 'aborted':
      return open(call, 'pve.aborted', 'the agent stopped waiting');
  }
}

/** Proven: as before. */
function proven(call: CallFacts, code: ErrorCode, text: string): Classified {
  return { is: 'refused', why: reason(code, `cannot ${call.what}: ${text}`) };
}

function open(call: CallFacts, code: ErrorCode, text: string): Classified {
  return { is: 'unknown', why: reason(code, `cannot ${call.what}: ${text}`) };
}

function forbiddenCode(text: string): ErrorCode {
  if (/pool '[^']*' does not exist/.test(text)) return 'pve.pool-absent';
  if (/only allowed for root@pam|not available with API token/.test(text)) return 'pve.root-only';
  return 'pve.forbidden';
}

/** "create storage failed: storage ID 'x' already defined" says the same as its second half. */
function stripDefinitionPrefix(text: string): string {
  return text.replace(/^(?:create|update|delete) (?:storage|pool|pools|role|user) failed: /, '');
}

type Payload =
  | {
      readonly is: 'data';
      readonly data: unknown;
      readonly total: number | undefined;
      readonly message: string | undefined;
      readonly errors: Readonly<Record<string, string>>;
    }
  | { readonly is: 'broken' }
  | { readonly is: 'not-json' };

/** Deeper than anything Proxmox sends; a bomb of brackets is not worth parsing. */
const deepest = 32;

function parsePayload(answer: WholeAnswer): Payload {
  const type = (answer.contentType ?? '').split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/json') return { is: 'not-json' };
  if (tooDeep(answer.body)) return { is: 'broken' };
  let parsed: unknown;
  try {
    parsed = JSON.parse(answer.body);
  } catch (error) {
    if (error instanceof SyntaxError) return { is: 'broken' };
    throw error;
  }
  if (typeof parsed !== 'object' || parsed === null || !('data' in parsed)) return { is: 'broken' };
  const message = 'message' in parsed && typeof parsed.message === 'string' ? clean(parsed.message) : undefined;
  const total = 'total' in parsed && typeof parsed.total === 'number' ? parsed.total : undefined;
  const errors: Record<string, string> = {};
  if ('errors' in parsed && typeof parsed.errors === 'object' && parsed.errors !== null)
    for (const [key, value] of Object.entries(parsed.errors)) errors[key] = shorten(clean(String(value)));
  return { is: 'data', data: parsed.data, total, message: message === '' ? undefined : message, errors };
}

function tooDeep(json: string): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < json.length; at += 1) {
    const sign = json[at];
    if (inString) {
      if (sign === '\\') at += 1;
      else if (sign === '"') inString = false;
    } else if (sign === '"') inString = true;
    else if (sign === '{' || sign === '[') {
      depth += 1;
      if (depth > deepest) return true;
    } else if (sign === '}' || sign === ']') depth -= 1;
  }
  return false;
}

/** Without the place in the Perl source, on one line. Texts may name paths but never hold a secret of ours. */
function clean(text: string): string {
  return text
    .replace(/ at \/\S+ line \d+\.?/g, '')
    .replace(/\s*\n\s*/g, ' ')
    .trim();
}

/** Enumeration errors list every permitted value. */
function shorten(text: string): string {
  return text.length <= 300 ? text : `${text.slice(0, 297)}…`;
}

function describe(answer: WholeAnswer): string {
  const type = answer.contentType ?? 'none';
  return `unexpected answer (status ${answer.status} ${answer.reason.slice(0, 80)}, content type ${type.slice(0, 80)})`;
}
