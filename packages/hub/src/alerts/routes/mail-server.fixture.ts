/** A mail server of a few lines on loopback that writes down what it is told. */
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { TestContext } from 'node:test';
import { validServer } from '../../certificates.fixture.ts';

export interface MailServer {
  readonly port: number;
  /** Lines of the client, mail bodies included. */
  readonly dialogue: string[];
  readonly mails: string[];
}

export interface MailServerOptions {
  readonly startTls: 'offered' | 'refused' | 'absent';
  readonly auth?: 'taken' | 'refused';
  /** Says nothing after the greeting. */
  readonly mute?: boolean;
}

export async function mailServer(t: TestContext, options: MailServerOptions): Promise<MailServer> {
  const dialogue: string[] = [];
  const mails: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    talk(socket, false);
    socket.write('220 test ESMTP\r\n');
  });

  function talk(socket: Socket, secured: boolean): void {
    let pending = '';
    let body: string | undefined;
    // The other side ends a dialogue that it does not like without a farewell.
    socket.on('error', () => socket.destroy());
    const receive = (chunk: Buffer): void => {
      if (options.mute === true) return;
      pending += chunk.toString('utf8');
      for (let end = pending.indexOf('\r\n'); end !== -1; end = pending.indexOf('\r\n')) {
        const line = pending.slice(0, end);
        pending = pending.slice(end + 2);
        dialogue.push(line);
        if (body !== undefined) {
          if (line === '.') {
            mails.push(body);
            body = undefined;
            socket.write('250 queued\r\n');
          } else body += `${line}\n`;
          continue;
        }
        const verb = line.split(' ')[0]?.toUpperCase();
        if (verb === 'EHLO') {
          const tls = !secured && options.startTls !== 'absent' ? '250-STARTTLS\r\n' : '';
          const auth = options.auth === undefined ? '' : '250-AUTH PLAIN\r\n';
          socket.write(`250-test\r\n${tls}${auth}250 8BITMIME\r\n`);
        } else if (verb === 'STARTTLS' && options.startTls === 'offered') {
          socket.off('data', receive);
          socket.write('220 go ahead\r\n');
          talk(new TLSSocket(socket, { isServer: true, ...validServer }), true);
        } else if (verb === 'STARTTLS') socket.write('454 not now\r\n');
        else if (verb === 'AUTH')
          // As careless servers do, it repeats what it was told.
          socket.write(options.auth === 'taken' ? '235 welcome\r\n' : `535 no: ${line}\r\n`);
        else if (verb === 'DATA') {
          body = '';
          socket.write('354 go\r\n');
        } else if (verb === 'QUIT') socket.end('221 bye\r\n');
        else socket.write('250 ok\r\n');
      }
    };
    socket.on('data', receive);
  }

  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, dialogue, mails };
}
