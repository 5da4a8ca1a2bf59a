import FoundationEssentials

@testable import Images

/// One small image in several formats, saved by Pillow 13 with the options named.
enum Fixture {
    static let height = 5
    static let width = 7

    /// What each of them shows, row-major H × W × C: red grows to the right, green downwards.
    static let pixels: [UInt8] = (0..<height).flatMap { y -> [UInt8] in
        (0..<width).flatMap { x -> [UInt8] in [UInt8(60 + 20 * x), UInt8(40 + 25 * y), 120] }
    }

    static let raster = Raster(height: height, width: width, checked: .rgb, pixels: pixels)

    /// quality=98, subsampling=0, optimize=True.
    static let baselineJPEG = bytes(
        """
        /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAEBAQEBAQEBAQEBAQEBAQIBAQEBAQIBAQECAgICAgICAgIDAwQDAwMDAwICAwQDAwQEBAQEAg\
        MFBQQEBQQEBAT/2wBDAQEBAQEBAQIBAQIEAwIDBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAT/\
        wAARCAAFAAcDAREAAhEBAxEB/8QAFAABAAAAAAAAAAAAAAAAAAAAB//EAB8QAAADCQAAAAAAAAAAAAAAAAABBwIDCBQjQ0RScf/EABUBAQ\
        EAAAAAAAAAAAAAAAAAAAUH/8QAIhEAAQEGBwAAAAAAAAAAAAAAAQYAAwdCUXEIERMUIUFS/9oADAMBAAIRAxEAPwAdRqF5Ppd1TsniMa9C\
        a5i2pdQ5nv0a2ai4V44q7ZO+ZDMaWb//2Q==
        """)

    /// quality=98, subsampling=0, progressive=True.
    static let progressiveJPEG = bytes(
        """
        /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAEBAQEBAQEBAQEBAQEBAQIBAQEBAQIBAQECAgICAgICAgIDAwQDAwMDAwICAwQDAwQEBAQEAg\
        MFBQQEBQQEBAT/2wBDAQEBAQEBAQIBAQIEAwIDBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAT/\
        wgARCAAFAAcDAREAAhEBAxEB/8QAFAABAAAAAAAAAAAAAAAAAAAABv/EABUBAQEAAAAAAAAAAAAAAAAAAAQG/9oADAMBAAIQAxAAAAEcmi\
        //xAAWEAEBAQAAAAAAAAAAAAAAAAAFBhL/2gAIAQEAAQUCGlz8/wD/xAAbEQAABwEAAAAAAAAAAAAAAAAAAgUGBxNRcf/aAAgBAwEBPwGK\
        3wr0l5o//8QAGBEAAgMAAAAAAAAAAAAAAAAAAAUGEuH/2gAIAQIBAT8BeS1lbT//xAAYEAACAwAAAAAAAAAAAAAAAAAAASFBUv/aAAgBAQ\
        AGPwJRWT//xAAWEAADAAAAAAAAAAAAAAAAAAAAUcH/2gAIAQEAAT8hgGj/2gAMAwEAAgADAAAAEH//xAAYEQACAwAAAAAAAAAAAAAAAAAA\
        QTFRcf/aAAgBAwEBPxCVO1Yf/8QAGREAAgMBAAAAAAAAAAAAAAAAEVEAAUFx/9oACAECAQE/EDxvWfJ//8QAFxAAAwEAAAAAAAAAAAAAAA\
        AAAAFx8P/aAAgBAQABPxC9Nmf/2Q==
        """)

    /// quality=98, optimize=True; the red channel as a grey image.
    static let greyJPEG = bytes(
        """
        /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAEBAQEBAQEBAQEBAQEBAQIBAQEBAQIBAQECAgICAgICAgIDAwQDAwMDAwICAwQDAwQEBAQEAg\
        MFBQQEBQQEBAT/wAALCAAFAAcBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAA//EABsQAAAHAQAAAAAAAAAAAAAAAAABAgQJNXWz/9oACAEB\
        AAA/ADiupWGWrkY//9k=
        """)

    /// as `baselineJPEG`, with an EXIF orientation of 6, a quarter turn.
    static let rotatedJPEG = bytes(
        """
        /9j/4AAQSkZJRgABAQAAAQABAAD/4QAiRXhpZgAATU0AKgAAAAgAAQESAAMAAAABAAYAAAAAAAD/2wBDAAEBAQEBAQEBAQEBAQEBAQIBAQ\
        EBAQIBAQECAgICAgICAgIDAwQDAwMDAwICAwQDAwQEBAQEAgMFBQQEBQQEBAT/2wBDAQEBAQEBAQIBAQIEAwIDBAQEBAQEBAQEBAQEBAQE\
        BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAT/wAARCAAFAAcDAREAAhEBAxEB/8QAFAABAAAAAAAAAAAAAAAAAAAAB//EAB\
        8QAAADCQAAAAAAAAAAAAAAAAABBwIDCBQjQ0RScf/EABUBAQEAAAAAAAAAAAAAAAAAAAUH/8QAIhEAAQEGBwAAAAAAAAAAAAAAAQYAAwdC\
        UXEIERMUIUFS/9oADAMBAAIRAxEAPwAdRqF5Ppd1TsniMa9Ca5i2pdQ5nv0a2ai4V44q7ZO+ZDMaWb//2Q==
        """)

    /// quality=50, optimize=True; converted to CMYK.
    static let cmykJPEG = bytes(
        """
        /9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAQCwwODAoQDg0OEhEQExgoGhgWFhgxIyUdKDozPTw5Mzg3QEhcTkBEV0U3OFBtUVdfYmdoZz5NcX\
        lwZHhcZWdj/8AAFAgABQAHBEMRAE0RAFkRAEsRAP/EABcAAAMBAAAAAAAAAAAAAAAAAAADBAf/xAAcEAABAwUAAAAAAAAAAAAAAAAAAQQF\
        FTJRcaH/2gAOBEMATQBZAEsAAD8AICxNEtIb44LNAP/Z
        """)

    /// lossless=True.
    static let losslessWebP = bytes(
        """
        UklGRjIAAABXRUJQVlA4TCUAAAAvBgABALmM6H/sIgrS/4BCNpKg1ViD9Wf87gxOcT54MQESWPYCAA==
        """)

    /// lossless=True, exact=True; with an alpha of x · y.
    static let transparentWebP = bytes(
        """
        UklGRjYAAABXRUJQVlA4TCoAAAAvBgABELkyRPQ/dhHR/4BCthGg0ziD82d8EQQCKQ5inAdvAiZAj7AEaE8=
        """)

    /// quality=100.
    static let lossyWebP = bytes(
        """
        UklGRmwAAABXRUJQVlA4IGAAAACwAgCdASoHAAUAAAAAJagCdLoBQALUA/QADsm1MsAA/v/+Wh81/9io7LQ/fRcg2PGT7mGgJgK5X/0ET6\
        Nv9gw/TST/xDf+O383H/gxUOh/7kDf/gwd8/+aoV4v+ECAAAA=
        """)

    /// lossless=True, save_all=True; the image and its negative.
    static let animatedWebP = bytes(
        """
        UklGRugAAABXRUJQVlA4WAoAAAACAAAABgAABAAAQU5JTQYAAAAAAAAAAABBTk1GWgAAAAAAAAAAAAYAAAQAAAAAAAJWUDhMQgAAAC8GAA\
        EAF0GQbcNRg0Ff+AYCgRQHMc6DN/9V6AEAFt8BGAQAWDY229YZ0f8AVPkyb8h0qOtB3MS2Xyxs6ucj0uVx/UFOTUZaAAAAAAAAAAAABgAA\
        BAAAAAAAAFZQOExCAAAALwYAAQAXQZBtw1HO6Vz4BgKBFAex1XM4/1XoAQAW3wEYBABYNjbb1hnR//ivkZ0k3+nJCvzuFg1Hz6pBM3jP4h\
        UF
        """)

    /// 24 × 24: predictors, colours and distances backwards; lossless=True.
    static let gradientWebP = bytes(
        """
        UklGRqIDAABXRUJQVlA4TJUDAAAvF8AFAAkDaduGtv2J6H9QYKGQjSRoQPY5hPOnOoLjIJq2qZoa+//Oyqnof3AJIHfP9AKHbdtI0uwTyZ7rv9\
        zbaQNi20aSJMkNzNOz4XyXf15XliRJkiJJGe4RHjk8VV3D+JF9LPOZmZnhDcN75K2MWOvUOuJ+lXNwPbxOfrc9m9+ts/Vs/864tq7L1pX/reey\
        /9Oes3y3raddp12PnbPtfzMENGHRFY1IVGvbFBURkBhN/Lety+/LzjPeJ9eF87J12S9WTYzBROj8y9aIkTEEoCHTHKfvC99l6/HnsrXtXLY2vt\
        MF1K1Ft7AqUmXGhhmQUAmjh1gX143z4n3hf/r9cG18J3+2tgCVibI4ybEmjWFoGdLoSvFB153Xy9ahb/N+4jq5bv/fytiAglFTTlUpiiQuJB4N\
        UkPy2fx2rpNn59pnn53r4Ll9d6zEiBaIAqnAYkkt5eBRjae67jz32fXkueM6dT06O8+lSLBCC+om1W1EE77JLFZhMufN/e/M9dTn1Hfnuut9+9\
        p5nqloCAPAFm0UjZm2dqxwmLK9SVTcGEFkIfHJFJl6vlO/jk6JJiJOKZ46cpSY69ys74NAWm3QDAxWnE6Vc/zdbywxdAGySXGWKtqmdykwTEht\
        UkGV1TTtxebLzAzvP6EBBALFIBqZHDDer6RMFZh4EKC218vT74EizfmM/ltT1MCbEE+UKFlv9gePsCBVYjqVNHvfSnLWFJ0KwR/2GgUULQrSaD\
        iEvT6DSFc2aCMwnBu+toahaJ1V6dT7vbZLU5QC1USg8iAYRjWHr0p9fJAI3MByp421PV2/zefn5j94obHoGbTbepxYYyYgWkvu0sRMrBqEM9Xe\
        ZlXR8w0HWCynSn2iYROOqdFCGdqwPTlOwglnwD4MWW/CMB1Yg38bFZbENwBGj/eLrBGknAW93UKQUDrbhZd0GLp0OV2ev8ehGGuhZAXukmMynf\
        xPm+Ge60qDNiCzuuQFTLBPlsPEvuev2xQSSJsbhe3MiYR1VoMNOUgY3MVCee70sXMmsR9f4zDvlY1lQByRhtwNInW3hVFvqzlMidQ7sJjVYxd6\
        fV9X7MDf9sap7aKIrE+OmhpdSrpO9tRn+cThAc1kwvSlJ6+kk6Vm5f3uSCM++ADZtkeiIcP/9LpFsN1WNsMeZu1CB6+lD8PMAMv8XuyWXWQBMt\
        mqPzKVatiA/cQcqNE7NguGhfCiHcwAfdbgvHu/ywA=
        """)

    /// 24 × 24 of eleven colours; lossless=True.
    static let paletteWebP = bytes(
        """
        UklGRkQBAABXRUJQVlA4TDcBAAAvF8AFAFegpm0jSGVRDuUP5PZb77aPQHkoiiTFUUDSQGEKvagJd7/8UhMABPNbv7LSCrGZ/wi3BeI5jBxb6P\
        mgINM5lH7jUoAjbZvbZEWHq+wa5Owqx4qgMNTyjkJr+Jmhlr3iAIZFJflXRQ7/LbXWISL6bzBpG9tuv9AKHq7F+J6SU4OurPudBM8MWhhKA7Nq\
        73ei9hFHHUakuB2S0b6ivwf8CSVm0NAQ7mvxjYgWUDsSYqztDKAxEMLde1ffEbeJUisUaBGmZCTccbFA/U1Wp0gs5W49k79o78R6MFm7xgjZu2\
        T9Ydfhhq7nFxdGvVAY8JrGaAFQZfn+sMZY7AHU2OHpkHIHPjdecQBWnRDNJUcMAb5iGdlLRBSXMJIp9wnJCVWlXMvXIp2eCwE3fCv/CrSylA0o\
        OQA=
        """)

    /// 24 × 24 with an alpha that is compressed; quality=30.
    static let alphaWebP = bytes(
        """
        UklGRrQAAABXRUJQVlA4WAoAAAAQAAAAFwAAFwAAQUxQSBYAAAAJuYzofziIBiyG//+WJTFiApJiZXwlVlA4IHgAAACQBACdASoYABgAPvFmqF\
        AppaQit+gBMB4JbACdMoR4wD6TWvhlXnjxkh6Z4oAA/u6SHaU7mBK2cJGmP6knuA8VVdCPyevJmEWu0I1nGUb65CmpmLRuErkAxi0y+G6+wuH3\
        +E6gbzOTBpWHZD4gStOnENgEBPY4AAA=
        """)

    private static func bytes(_ base64: String) -> [UInt8] { Array(Data(base64Encoded: base64) ?? Data()) }
}
