/** Mail. The certificate of the server is checked, and STARTTLS that is not offered is a failure, never plain text. */
import { readFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { createTransport } from 'nodemailer';
import type { Route } from '../settings.ts';
import { codeOf, readSecret, SecretUnreadable, senderLimits } from './sender.ts';
import type { Sender, Sent } from './sender.ts';

export function smtpSender(route: Extract<Route, { type: 'smtp' }>, limits = senderLimits): Sender {
  return async ({ id, message }, at, signal) => {
    const timeout = AbortSignal.timeout(limits.timeoutMs);
    const ended = AbortSignal.any([signal, timeout]);
    try {
      const { auth, ca } = await readFiles(route);
      // A socket of our own, because nothing else ends a dialogue that the other side drags out.
      const socket = new Socket();
      const end = (): void => void socket.destroy();
      ended.addEventListener('abort', end, { once: true });
      const transport = createTransport({
        host: route.host,
        port: route.port,
        socket,
        secure: route.security === 'tls',
        requireTLS: route.security === 'starttls',
        ignoreTLS: route.security === 'none',
        connectionTimeout: limits.timeoutMs,
        greetingTimeout: limits.timeoutMs,
        socketTimeout: limits.timeoutMs,
        dnsTimeout: limits.timeoutMs,
        disableFileAccess: true,
        disableUrlAccess: true,
        tls: { minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) },
        ...(auth === undefined ? {} : { auth }),
      });
      try {
        ended.throwIfAborted();
        await transport.sendMail({
          from: route.from,
          to: [...route.to],
          subject: message.subject,
          text: message.text,
          date: new Date(at),
          // The same for every try, so that mail programs show a repeat as one.
          messageId: `<${id}@${route.from.slice(route.from.lastIndexOf('@') + 1)}>`,
          headers: { 'auto-submitted': 'auto-generated', 'felhom-delivery': id },
        });
      } finally {
        ended.removeEventListener('abort', end);
        transport.close();
        socket.destroy();
      }
      return { is: 'delivered' };
    } catch (error) {
      if (signal.aborted) throw error;
      if (error instanceof SecretUnreadable) return { is: 'failed', text: error.message };
      if (timeout.aborted)
        return { is: 'failed', text: `the mail server did not finish within ${limits.timeoutMs / 1000} s` };
      return refusal(error);
    }
  };
}

async function readFiles(route: Extract<Route, { type: 'smtp' }>): Promise<{
  readonly auth: { readonly user: string; readonly pass: string } | undefined;
  readonly ca: string | undefined;
}> {
  const { userFile, passwordFile, caFile } = route;
  const auth =
    userFile === undefined || passwordFile === undefined
      ? undefined
      : { user: await readSecret('userFile', userFile), pass: await readSecret('passwordFile', passwordFile) };
  if (caFile === undefined) return { auth, ca: undefined };
  try {
    return { auth, ca: await readFile(caFile, 'utf8') };
  } catch (error) {
    throw new SecretUnreadable(`cannot read the caFile: ${codeOf(error)}`, { cause: error });
  }
}

/** Codes only: the words of a mail server may quote what it was told. */
function refusal(error: unknown): Sent {
  const status = error instanceof Error && 'responseCode' in error ? error.responseCode : undefined;
  const answered = typeof status === 'number' ? `, status ${status}` : '';
  return { is: 'failed', text: `the mail did not go through (${codeOf(error)}${answered})` };
}
