/** The release, as it shows in reports. */
export const agentVersion = '0.1.0';
