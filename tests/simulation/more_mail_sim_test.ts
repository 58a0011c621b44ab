import { testMailHistories } from "./mail_histories.ts";

testMailHistories(1001);
