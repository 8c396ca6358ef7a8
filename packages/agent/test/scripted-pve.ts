/** A transport for tests: a function answers each request, and every request is kept. */
import type { RawAnswer, RawRequest, Transport } from '../src/adapters/pve-http/transport.ts';

export interface ScriptedPve extends Transport {
  readonly requests: RawRequest[];
}

export function scriptedPve(
  answer: (request: RawRequest, count: number) => RawAnswer | Promise<RawAnswer>,
): ScriptedPve {
  const requests: RawRequest[] = [];
  return {
    requests,
    async send(request) {
      requests.push(request);
      return answer(request, requests.length);
    },
    async close() {},
  };
}

/** A 200 with data. */
export const ok = (data: unknown, total?: number): RawAnswer => ({
  is: 'answered',
  answer: {
    status: 200,
    reason: 'OK',
    contentType: 'application/json;charset=UTF-8',
    body: JSON.stringify(total === undefined ? { data } : { data, total }),
  },
});

/** A 500 with its text, or another status with only a reason phrase. */
export const failedWith = (status: number, text: string): RawAnswer => ({
  is: 'answered',
  answer: {
    status,
    reason: text,
    contentType: status === 500 ? 'application/json' : undefined,
    body: status === 500 ? JSON.stringify({ data: null, message: `${text}\n` }) : '',
  },
});

/** A 400 that names one parameter. */
export const badParameter = (key: string, text: string): RawAnswer => ({
  is: 'answered',
  answer: {
    status: 400,
    reason: 'Parameter verification failed.',
    contentType: 'application/json',
    body: JSON.stringify({ data: null, message: 'Parameter verification failed.\n', errors: { [key]: text } }),
  },
});

export const broken: RawAnswer = {
  is: 'failed',
  failure: { is: 'lost', code: 'ECONNRESET', text: 'the connection broke' },
};
export const down: RawAnswer = {
  is: 'failed',
  failure: { is: 'not-sent', code: 'ECONNREFUSED', text: 'no connection' },
};
