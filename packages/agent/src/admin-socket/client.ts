/** The other end of the admin socket, for the commands. */
import { request } from 'node:http';
import type { AdminRoutes } from './server.ts';

export type AdminAnswer =
  | { readonly is: 'answered'; readonly body: unknown }
  | { readonly is: 'not-running' }
  /** The socket exists and this user may not open it. */
  | { readonly is: 'forbidden' }
  | { readonly is: 'failed'; readonly why: string };

const largestAnswerBytes = 32 * 1024 * 1024;

export function askAgent(file: string, route: keyof AdminRoutes, query = '', body = ''): Promise<AdminAnswer> {
  const [method, path] = route.split(' ') as [string, string];
  return new Promise((resolve) => {
    const sent = request({ socketPath: file, method, path: path + query, timeout: 60_000 }, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > largestAnswerBytes) sent.destroy(new Error('the answer is too large'));
        else chunks.push(chunk);
      });
      response.on('end', () => resolve(parse(response.statusCode ?? 0, Buffer.concat(chunks).toString('utf8'))));
    });
    sent.on('timeout', () => sent.destroy(new Error('no answer within 60 s')));
    sent.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve({ is: 'not-running' });
      else if (error.code === 'EACCES' || error.code === 'EPERM') resolve({ is: 'forbidden' });
      else resolve({ is: 'failed', why: error.message });
    });
    sent.end(body);
  });
}

function parse(status: number, text: string): AdminAnswer {
  try {
    const body = JSON.parse(text) as { error?: string };
    return status === 200 ? { is: 'answered', body } : { is: 'failed', why: body.error ?? `status ${status}` };
  } catch (error) {
    return { is: 'failed', why: `the agent's answer is not JSON: ${(error as Error).message}` };
  }
}
