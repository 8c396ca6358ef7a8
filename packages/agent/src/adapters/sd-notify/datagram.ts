/**
 * Datagrams to unix sockets, which Node cannot send by itself. `node:ffi` is an experimental part of Node: this is the
 * only file that uses it, and a release of Node without it fails `npm run test:systemd`.
 */
import { createRequire } from 'node:module';

/** Sends one datagram whole, or answers false. Never waits. */
export type Datagram = (path: string, body: Uint8Array) => boolean;

const unix = 1;
/** SOCK_DGRAM | SOCK_CLOEXEC. */
const datagramSocket = 0o2000002;
/** MSG_DONTWAIT | MSG_NOSIGNAL. */
const atOnce = 0x4040;

/** What this file needs of `node:ffi`, for which there are no types yet. */
interface Ffi {
  dlopen(
    library: string,
    functions: Readonly<Record<string, { readonly arguments: readonly string[]; readonly return: string }>>,
  ): { readonly functions: Readonly<Record<string, (...args: readonly unknown[]) => number | bigint>> };
  getRawPointer(buffer: Uint8Array): bigint;
}

/** `undefined`: this Node has no `node:ffi`, or the socket cannot be made. */
export function openDatagram(): Datagram | undefined {
  let ffi: Ffi;
  let libc: ReturnType<Ffi['dlopen']>['functions'];
  try {
    ffi = createRequire(import.meta.url)('node:ffi') as Ffi;
    libc = ffi.dlopen('libc.so.6', {
      socket: { arguments: ['i32', 'i32', 'i32'], return: 'i32' },
      sendto: { arguments: ['i32', 'pointer', 'u64', 'i32', 'pointer', 'u32'], return: 'i64' },
    }).functions;
  } catch {
    return undefined;
  }
  const { socket, sendto } = libc;
  const handle = Number(socket?.(unix, datagramSocket, 0) ?? -1);
  if (sendto === undefined || handle < 0) return undefined;
  return (path, body) => {
    const to = addressOf(path);
    const sent = sendto(handle, ffi.getRawPointer(body), BigInt(body.length), atOnce, ffi.getRawPointer(to), to.length);
    return Number(sent) === body.length;
  };
}

/** `struct sockaddr_un`; a leading `@` is an abstract name. */
export function addressOf(path: string): Buffer {
  const abstract = path.startsWith('@');
  const name = Buffer.from(abstract ? `\0${path.slice(1)}` : `${path}\0`);
  const address = Buffer.alloc(2 + name.length);
  address.writeUInt16LE(unix, 0);
  name.copy(address, 2);
  return address;
}
