/** One HTTP request of which only the status counts. Redirects are not followed: they would carry a token elsewhere. */
import { codeOf, SecretUnreadable } from './sender.ts';
import type { Sent, SenderLimits } from './sender.ts';

export interface Post {
  readonly url: string;
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Never throws, except when it was aborted from outside. `prepare` may read secrets. */
export async function postOnce(
  prepare: () => Promise<Post>,
  { timeoutMs }: SenderLimits,
  signal: AbortSignal,
): Promise<Sent> {
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const { url, method, headers, body } = await prepare();
    const answer = await fetch(url, {
      method,
      headers: { 'user-agent': 'felhom-hub', ...headers },
      redirect: 'manual',
      signal: AbortSignal.any([signal, timeout]),
      ...(body === undefined ? {} : { body }),
    });
    // What the other side has to say is neither needed nor waited for.
    await answer.body?.cancel();
    if (answer.status >= 200 && answer.status <= 299) return { is: 'delivered' };
    if (answer.status >= 300 && answer.status <= 399)
      return { is: 'failed', text: `it answered with a redirect (status ${answer.status}), which is not followed` };
    return { is: 'failed', text: `it answered with status ${answer.status}` };
  } catch (error) {
    if (signal.aborted) throw error;
    if (error instanceof SecretUnreadable) return { is: 'failed', text: error.message };
    if (timeout.aborted) return { is: 'failed', text: `it did not answer within ${timeoutMs / 1000} s` };
    return { is: 'failed', text: `it cannot be reached (${codeOf(error)})` };
  }
}
