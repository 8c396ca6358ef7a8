/**
 * systemd as the supervisor, and the journal as the log: datagrams on unix sockets (sd_notify(3), "Journal Native
 * Protocol"). They come from this very process, so the unit can say `NotifyAccess=main`. Elsewhere than under systemd
 * nothing is sent.
 *
 * Read in this order: supervisor, datagram (the two calls of libc).
 */
export { openSupervisor, openLogSocket, nobody } from './supervisor.ts';
export { openDatagram } from './datagram.ts';
