/** What a notification or a subscription is about; the values of MAPI's notification types ([MS-OXCNOTIF]). */
export const notificationFlags = {
  WholeStore: 0x0001,
  NewMail: 0x0002,
  ObjectCreated: 0x0004,
  ObjectDeleted: 0x0008,
  ObjectModified: 0x0010,
  ObjectMoved: 0x0020,
  ObjectCopied: 0x0040,
  SearchCompleted: 0x0080,
  TableModified: 0x0100,
} as const;
